// The watchdog's thread: samples the machine's presence word, and kills the process when the guest
// stays in one entry.
import { writeSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import { LOOKS_PER_LIMIT, Stall } from "./stall.ts";

const { presence, limitMs } = workerData as { presence: Int32Array; limitMs: number };

const stall = new Stall(presence);

setInterval(() => {
  if (!stall.look()) return;
  // The main thread never returns, so neither its streams nor its exit handlers would run.
  const seconds = limitMs / 1000;
  writeSync(2, `error: watchdog: the guest has not returned for ${seconds} s: process killed\n`);
  process.kill(process.pid, "SIGKILL");
}, limitMs / LOOKS_PER_LIMIT);

parentPort?.postMessage("watching");
