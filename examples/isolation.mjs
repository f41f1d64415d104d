// The cost of giving every request a machine of its own: requests per second of one machine that is
// kept, and of a pool whose machines go back to a snapshot after each request; and the memory of a
// machine in the pool. In a clone: npm run build && node examples/isolation.mjs [N]
import { readFileSync } from "node:fs";
import { FsDevice, Machine, MachinePool, MemoryFiles, VsockDevice } from "../dist/host/index.js";

const requests = Number(process.argv[2] ?? 5000);
const MACHINES = 20;

const files = new MemoryFiles({ "index.html": "<h1>Hello</h1>" });
const make = () => {
  const vsock = new VsockDevice();
  return { vsock, devices: [vsock, new FsDevice({ directory: "/", tag: "site", files })] };
};

/** @param {Machine} machine */
async function ask(machine) {
  const response = await machine.fetch("http://guest/");
  if (response.status !== 200) throw new Error(`status ${response.status}`);
  await response.arrayBuffer();
}

const { vsock, devices } = make();
const kept = await Machine.create({
  image: readFileSync(new URL("../build/web-server.wasm", import.meta.url)),
  memoryBytes: 16 * 1024 * 1024,
  devices,
});
kept.boot();
await vsock.probe(80);
await ask(kept); // the file is in the guest's cache
const snapshot = await kept.snapshot();

const before = process.memoryUsage().rss;
const pool = new MachinePool(snapshot, { size: MACHINES, make });
await pool.fill();
const mib = (process.memoryUsage().rss - before) / MACHINES / 1024 ** 2;

/** @param {string} name @param {() => Promise<void>} one */
async function measure(name, one) {
  for (let i = 0; i < requests / 5; i++) await one(); // V8 optimises meanwhile
  const began = performance.now();
  for (let i = 0; i < requests; i++) await one();
  const perSecond = (requests / (performance.now() - began)) * 1000;
  console.log(`${name}: ${perSecond.toFixed(0)} requests/s`);
}

await measure("one machine, kept", () => ask(kept));
await measure("a fresh machine each", async () => {
  const one = await pool.take();
  await ask(one.machine);
  one.release();
});
const used = snapshot.bytes >> 10;
console.log(`a machine of the pool: ${mib.toFixed(2)} MiB, of which ${used} KiB in use`);
pool.close();
kept.dispose();
