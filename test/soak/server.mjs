// The server of a soak, in a process of its own: the real appliance over real TCP and a real
// directory, beside machines that come and go. Its parent asks for samples over IPC.
import { readdirSync, readFileSync } from "node:fs";
import { FsDevice, Machine, VsockDevice } from "../../dist/host/index.js";

/** The image is WebServer with the kernel's books: what it has in use can be asked for. */
const [image = "", directory = ".", machinesAtOnce = "2"] = process.argv.slice(2);
const MEMORY_BYTES = 32 * 1024 * 1024;
const PAUSE_MS = 250;

const vsock = new VsockDevice({ cid: 3 });
const site = new FsDevice({ directory, tag: "site", readOnly: true, windowBytes: 8 * 65536 });
let lines = "";
const machine = await Machine.create({
  image: readFileSync(image),
  devices: [vsock, site],
  memoryBytes: MEMORY_BYTES,
  console: (text) => {
    lines = (lines + text).slice(-4096);
  },
});
machine.boot();
await vsock.probe(80);
const { port } = await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });

const moduleOf = (name) => new WebAssembly.Module(readFileSync(`build/${name}.wasm`));
const [hello, echo, files] = ["hello-world", "echo", "hello-file"].map(moduleOf);
let born = 0;
let breeding = Promise.resolve();
let resting = false;

/** A machine's life, ended in each way that there is. */
async function liveOnce() {
  const way = born++ % 4;
  // One powers off, one is disposed while it listens, one finds no device, one is never booted.
  const image = [hello, echo, files, echo][way];
  const devices = way === 1 || way === 3 ? [new VsockDevice({ cid: 4 })] : [];
  const one = await Machine.create({ image, devices, memoryBytes: 2 * 1024 * 1024 });
  if (way !== 3) one.boot();
  one.dispose();
  await one.exited;
}

async function breed() {
  while (!resting) {
    await Promise.all(Array.from({ length: Number(machinesAtOnce) }, liveOnce));
    await new Promise((resolve) => setTimeout(resolve, PAUSE_MS));
  }
}

function sample() {
  globalThis.gc?.();
  const { rss, heapUsed, external, arrayBuffers } = process.memoryUsage();
  return {
    rss,
    heapUsed,
    external,
    arrayBuffers,
    descriptors: readdirSync("/proc/self/fd").length,
    guestHeap: Number(machine.call("heapInUse")),
    threads: Number(machine.call("threadCount")),
    sockets: Number(machine.call("socketCount")),
    connections: vsock.stats.connections,
    machines: born,
  };
}

process.on("message", async (what) => {
  if (what === "begin") breeding = breed();
  if (what === "sample") process.send?.(sample());
  if (what === "rest") resting = true;
  if (what !== "leave") return;
  await breeding;
  await vsock.drain();
  machine.dispose();
  await machine.exited;
  process.send?.({ lines });
  process.disconnect();
});
process.send?.({ port });
