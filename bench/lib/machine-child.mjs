// An appliance as a benchmark wants it, in a process of its own: node machine-child.mjs JSON, with
// the fields of Configuration in machines.mjs. Prints `ready [ports]` once all guest ports
// accept, and how many receive buffers the first device has then; when it ends the CPU time since,
// in microseconds, and with `profiled` whose time it was.
import { readFileSync } from "node:fs";
import { FsDevice, Machine, VsockDevice } from "../../dist/host/index.js";
import { profile } from "./profile.mjs";

/** @type {import("./machines.mjs").Configuration} */
const { image, parameters, memoryMB, receive, bufAlloc, publish, path, site, profiled } =
  JSON.parse(process.argv[2] ?? "{}");
const limits = bufAlloc === undefined ? {} : { bufAlloc, bufAllocTotal: 512 * bufAlloc };
const devices = publish.map(
  (/** @type {number[]} */ _, /** @type {number} */ i) =>
    new VsockDevice({ cid: 3 + i, receive, limits }),
);
const files = site ? [new FsDevice({ directory: site, tag: "site", readOnly: true })] : [];
const machine = await Machine.create({
  image: readFileSync(
    image.endsWith(".wasm") ? image : new URL(`../../build/${image}.wasm`, import.meta.url),
  ),
  memoryBytes: (memoryMB ?? 64) * 1024 * 1024,
  parameters: parameters ?? "",
  devices: [...devices, ...files],
  console: (text) => void process.stdout.write(text),
});
machine.boot();
const ports = [];
for (const [i, guestPorts] of publish.entries()) {
  for (const guestPort of guestPorts) {
    await devices[i].probe(guestPort);
    ports.push((await devices[i].publish({ port: 0, guestPort })).port);
  }
}
if (path !== undefined) await devices[0].publishPath(path);
process.stdout.write(`posted ${devices[0].receiveBuffers}\n`);
const profileEnds = profiled ? await profile() : null;
const ready = process.cpuUsage();
process.stdout.write(`ready ${JSON.stringify(ports)}\n`);
process.on("SIGTERM", () => machine.dispose());
const exit = await machine.exited;
const { user, system } = process.cpuUsage(ready);
process.stdout.write(`cpu ${user + system}\n`);
if (profileEnds !== null) process.stdout.write(`shares ${JSON.stringify(await profileEnds())}\n`);
process.exit(exit.kind === "power-off" ? exit.code : 0);
