// A guest with a network card as a benchmark wants it, in a process of its own: node net-child.mjs
// JSON, with the fields of NetConfiguration in net.mjs. Prints `ready [port]` once it can be
// reached; when it ends the CPU time since, in microseconds, and what was counted.
import { readFileSync } from "node:fs";
import { FsDevice, Machine, NetDevice, StreamNetwork, UserNetwork } from "../../dist/host/index.js";
import { readGuestLoad, readGuestStats } from "../../dist/host/stats.js";
import { profile } from "./profile.mjs";

/** How often the guest's memory in use is looked at. */
const SAMPLE_MS = 5;

/** @type {import("./net.mjs").NetConfiguration} */
const configuration = JSON.parse(process.argv[2] ?? "{}");
const { image, parameters, memoryMB, link, path, card, port, allow, site, profiled } =
  configuration;
const network =
  link === "user"
    ? new UserNetwork({ allow: allow ?? [], ...configuration.network })
    : await StreamNetwork.open({ address: { path: path ?? "" }, listen: link === "tap" });
const net = new NetDevice({ network, ...card });
const machine = await Machine.create({
  image: readFileSync(new URL(`../../build/${image}.wasm`, import.meta.url)),
  memoryBytes: memoryMB * 1024 * 1024,
  parameters: `net=inet ${parameters}`,
  devices: [net, ...(site ? [new FsDevice({ directory: site, tag: "site", readOnly: true })] : [])],
  console: (text) => void process.stdout.write(text),
});
while (!net.hasLink) await new Promise((resolve) => setTimeout(resolve, 5));
machine.boot();
const published =
  network instanceof UserNetwork && port !== undefined
    ? await network.publish({ port: 0, guestPort: port })
    : null;
const load = () => readGuestLoad(machine.memory);
const inUse = () => load().heapInUse;
const heapAtFirst = inUse();
let heapMost = 0;
setInterval(() => {
  heapMost = Math.max(heapMost, inUse() - heapAtFirst);
}, SAMPLE_MS).unref();
const profileEnds = profiled ? await profile() : null;
const allocationsAtFirst = load().allocations;
const ready = process.cpuUsage();
process.stdout.write(`ready ${JSON.stringify(published === null ? [] : [published.port])}\n`);
process.on("SIGTERM", () => machine.dispose());
const exit = await machine.exited;
const { user, system } = process.cpuUsage(ready);
process.stdout.write(`cpu ${user + system}\n`);
const { kicks, interrupts } = machine.registers[0]?.counts ?? { kicks: [], interrupts: 0 };
const kicked = kicks.reduce((sum, one) => sum + (one ?? 0), 0);
const allocations = load().allocations - allocationsAtFirst;
const counted = { ...net.stats, interrupts, kicks: kicked, allocations };
process.stdout.write(`counted ${JSON.stringify(counted)}\n`);
process.stdout.write(`network ${JSON.stringify(network.stats ?? {})}\n`);
const inside = { ...readGuestStats(machine.memory), heapMost };
process.stdout.write(`guest ${JSON.stringify(inside)}\n`);
if (profileEnds !== null) process.stdout.write(`shares ${JSON.stringify(await profileEnds())}\n`);
process.exit(exit.kind === "power-off" ? exit.code : 0);
