// The watchdog's thread: looks at the machine's presence word at intervals, and ends the process
// when the guest stays in one entry. It counts looks, not time: a process that was stopped or a
// computer that slept is no reason to bark.
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const { presence, limitMs } = workerData as { presence: Int32Array; limitMs: number };

const LOOKS_PER_LIMIT = 8;

let last = 0;
let looks = 0;

setInterval(() => {
  const entry = Atomics.load(presence, 0);
  if (entry === 0) return; // no time of the guest's: not counted, but no return either
  looks = entry === last ? looks + 1 : 0;
  last = entry;
  if (looks < LOOKS_PER_LIMIT) return;
  // The main thread never comes back: neither its streams nor its exit handlers would run.
  const seconds = limitMs / 1000;
  writeSync(2, `error: watchdog: the guest has not returned for ${seconds} s: process killed\n`);
  process.kill(process.pid, "SIGKILL");
}, limitMs / LOOKS_PER_LIMIT);

parentPort?.postMessage("watching");
