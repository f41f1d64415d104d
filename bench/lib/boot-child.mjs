// Boots of WebServer in a process that has not run it before: node boot-child.mjs FOLDER. Prints
// [case, metric, unit, value] as JSON: how long it takes to make the machine, from the kernel's
// entry until the guest says that it listens, and until it has accepted a first connection; cold,
// then again with what V8 has compiled by then; and how much of the first guest's memory is
// resident when it serves, as Linux counts it.
import { readFileSync } from "node:fs";
import { FsDevice, Machine, VsockDevice } from "../../dist/host/index.js";

const MEMORY_KIB = 48 * 1024;

const image = readFileSync(new URL("../../build/web-server.wasm", import.meta.url));
const directory = process.argv[2] ?? ".";

/** @param {"cold" | "warm"} state */
async function bootOne(state) {
  const vsock = new VsockDevice({ cid: 3 });
  const site = new FsDevice({ directory, tag: "site", readOnly: true });
  let listening = 0;
  const started = performance.now();
  const machine = await Machine.create({
    image,
    memoryBytes: MEMORY_KIB * 1024,
    devices: [vsock, site],
    console: (text) => {
      if (listening === 0 && text.includes("listening")) listening = performance.now();
    },
  });
  const created = performance.now();
  machine.boot();
  await vsock.probe(80);
  const accepted = performance.now();
  if (listening === 0) throw new Error("the guest never said that it listens");
  const name = `WebServer, ${state}`;
  return [
    [name, "compile and create", "ms", created - started],
    [name, "entry to listening", "ms", listening - created],
    [name, "entry to accepting", "ms", accepted - created],
  ];
}

const metrics = await bootOne("cold");
const touched = residentKiB();
if (touched > 0) metrics.push(["WebServer, cold", "memory touched", "KiB", touched]);
metrics.push(...(await bootOne("warm")));
process.stdout.write(JSON.stringify(metrics));
process.exit(0);

/** Of the guest's memory, which is the one writable mapping of its size; 0: not to be found. */
function residentKiB() {
  if (process.platform !== "linux") return 0;
  const entries = readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[0-9a-f]+-)/);
  const own = entries.filter((entry) => entry.includes(" rw-p "));
  const [one] = own.filter((entry) => new RegExp(`^Size: +${MEMORY_KIB} kB`, "m").test(entry));
  return Number(/^Rss: +(\d+) kB/m.exec(one ?? "")?.[1] ?? 0);
}
