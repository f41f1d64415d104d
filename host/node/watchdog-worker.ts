// The watchdog's thread: samples the machine's presence word, and kills the process when the guest
// stays in one entry. It counts samples, not time, so that a process that was stopped or a computer
// that slept does not trigger it.
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";

const { presence, limitMs } = workerData as { presence: Int32Array; limitMs: number };

const LOOKS_PER_LIMIT = 8;

let last = 0;
let looks = 0;

setInterval(() => {
  const entry = Atomics.load(presence, 0);
  if (entry === 0) return; // host code is at work: not counted, but no return either
  looks = entry === last ? looks + 1 : 0;
  last = entry;
  if (looks < LOOKS_PER_LIMIT) return;
  // The main thread never returns, so neither its streams nor its exit handlers would run.
  const seconds = limitMs / 1000;
  writeSync(2, `error: watchdog: the guest has not returned for ${seconds} s: process killed\n`);
  process.kill(process.pid, "SIGKILL");
}, limitMs / LOOKS_PER_LIMIT);

parentPort?.postMessage("watching");
