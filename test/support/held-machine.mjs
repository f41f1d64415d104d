// A machine in a thread of its own, which may block in a kick. The thread's data is the gate's
// memory; messages are commands in, and views of the machine and answers of its site out.
import { readFileSync } from "node:fs";
import { parentPort, workerData } from "node:worker_threads";
import {
  FsDevice,
  Inspector,
  KickGate,
  Machine,
  MemoryFiles,
  PausableClock,
  systemClock,
  VsockDevice,
} from "../../dist/host/index.js";

const clock = new PausableClock(systemClock);
const files = new MemoryFiles({ "index.html": "hello" });
const machine = await Machine.create({
  image: readFileSync("build/web-server.wasm"),
  devices: [new VsockDevice(), new FsDevice({ directory: "/", tag: "site", files })],
  parameters: "root=site",
  clock,
});
/** @param {object} message */
const post = (message) => parentPort?.postMessage(message);
const tell = () => post({ view: inspector.view(), nowNs: clock.now() });
const inspector = new Inspector({
  machine,
  clock,
  gate: new KickGate(workerData),
  held: (isHeld) => {
    if (isHeld) tell();
  },
});
machine.boot();

parentPort?.on("message", (name) => {
  if (name === "pause") inspector.pause();
  if (name === "run") inspector.resume();
  if (name === "kick") inspector.step("kick");
  if (name === "break") inspector.breakAt([{ on: "kick", queue: "request 0" }]);
  if (name === "clear") inspector.breakAt([]);
  if (name === "get") {
    machine
      .fetch("http://guest/index.html")
      .then(async (response) => post({ status: response.status, body: await response.text() }));
    return;
  }
  tell();
});
tell();
