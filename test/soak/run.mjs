// A night's run: npm run soak -- --minutes M [--machines N] [--svg FILE]. The real appliance under
// mixed load, sampled each few seconds. Prints a verdict; exit code 1 when something grew, or went
// wrong that no client had provoked. The server is paused now and then, as a laptop is.
import { fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { drawSvg } from "../../bench/lib/plot.mjs";
import { compile } from "../../tools/compile.mjs";
import { askForAll, CHANGING, CROWD, runClients, STEADY } from "./clients.mjs";
import { judge } from "./verdict.mjs";

const USAGE = "npm run soak -- --minutes M [--machines N] [--svg FILE]\n";
const MIB = 1048576;
const SAMPLES = 120;
/** Longer than any client's patience and the server's own: all that waited has gone by then. */
const SETTLE_MS = 20_000;
const PAUSE_EVERY_MS = 20_000;
const PAUSE_MS = 1500;

const { values } = parseArgs({
  options: {
    minutes: { type: "string", default: "10" },
    machines: { type: "string", default: "2" },
    svg: { type: "string", default: "soak.svg" },
  },
});
const minutes = Number(values.minutes);
const machines = Number(values.machines);
if (!(minutes >= 0.1 && minutes <= 10_000) || !(Number.isInteger(machines) && machines >= 0)) {
  process.stderr.write(USAGE);
  process.exit(2);
}

const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
const say = (/** @type {string} */ line) => void process.stdout.write(`${line}\n`);

const folder = mkdtempSync(join(tmpdir(), "torito-soak-"));
mkdirSync(join(folder, "crowd"));
for (const [name, bytes] of Object.entries(STEADY)) {
  writeFileSync(join(folder, name), (name[0] ?? "").repeat(bytes));
}
for (let i = 0; i < CROWD; i++) writeFileSync(join(folder, "crowd", String(i)), "c".repeat(3000));

const image = join(folder, ".image.wasm");
writeFileSync(image, (await compile("test/guest/web-server.ts", "release", { kind: "both" })).wasm);

const program = new URL("server.mjs", import.meta.url);
const server = fork(program, [image, folder, String(machines)], {
  execArgv: ["--expose-gc"],
  stdio: ["ignore", "inherit", "inherit", "ipc"],
});
/** @type {Record<string, number>} */
const errors = {};
let ended = false;
server.on("exit", (code, signal) => {
  if (!ended) errors[`the server ended: ${signal ?? code}`] = 1;
});
const answer = async () => (await once(server, "message"))[0];
const { port } = await answer();
const load = { port, stopped: false, done: {}, errors };

/** @returns {Promise<import("./verdict.mjs").Sample>} */
async function sample() {
  server.send("sample");
  return await answer();
}

/** Replaces, cuts and removes a file, and makes and empties a folder. */
async function change() {
  for (let i = 0; !load.stopped; i++) {
    const name = join(folder, CHANGING);
    const next = String.fromCharCode(0x61 + (i % 26)).repeat(1 + ((i * 7919) % 300_000));
    writeFileSync(`${name}.next`, next);
    renameSync(`${name}.next`, name);
    if (i % 5 === 4) truncateSync(name, 100);
    if (i % 7 === 6) rmSync(name);
    await sleep(150);
  }
}

async function pause() {
  for (let i = 0; !load.stopped; i++) {
    await sleep(250);
    if ((i * 250) % PAUSE_EVERY_MS !== PAUSE_EVERY_MS - 250) continue;
    server.kill("SIGSTOP");
    await sleep(PAUSE_MS);
    server.kill("SIGCONT");
  }
}

await askForAll(load);
await sleep(2000);
const before = await sample();
server.send("begin");
const began = performance.now();
const work = Promise.all([runClients(load), change(), pause()]);
const samples = [];
const stepMs = Math.max(1000, (minutes * 60_000) / SAMPLES);
while (!ended && performance.now() - began < minutes * 60_000) {
  await sleep(stepMs);
  if (server.exitCode !== null || server.signalCode !== null) break;
  const atS = (performance.now() - began) / 1000;
  const one = { atS, ...(await sample()) };
  samples.push(one);
  const mib = (/** @type {number} */ bytes) => (bytes / MIB).toFixed(1);
  say(
    `${Math.round(atS)} s  rss ${mib(one.rss)}  heap ${mib(one.heapUsed)}  ` +
      `external ${mib(one.external)}  guest ${mib(one.guestHeap)} MiB  ` +
      `descriptors ${one.descriptors}  threads ${one.threads}  ` +
      `connections ${one.connections}  machines ${one.machines}`,
  );
}
load.stopped = true;
server.send("rest");
await work;
await sleep(SETTLE_MS);
await askForAll(load);
await sleep(2000);
const after = await sample();
server.send("leave");
const { lines } = await answer();
ended = true;
if (server.exitCode === null) await once(server, "exit");
rmSync(folder, { recursive: true });

const line = (/** @type {string} */ name, /** @type {string} */ key, divisor = 1) => ({
  name,
  points: samples.map((one) => ({ x: one.atS / 60, y: /** @type {any} */ (one)[key] / divisor })),
});
const panels = [
  {
    title: "Memory of the server",
    y: "MiB",
    lines: [
      line("resident", "rss", MIB),
      line("JavaScript's heap", "heapUsed", MIB),
      line("external", "external", MIB),
      line("guest's heap", "guestHeap", MIB),
    ],
  },
  {
    title: "What it holds",
    y: "count",
    lines: [
      line("descriptors", "descriptors"),
      line("guest threads", "threads"),
      line("connections", "connections"),
    ],
  },
].map((panel) => ({ ...panel, x: "minutes", time: true }));
writeFileSync(values.svg, drawSvg(panels));

const { faults, rssPer10Minutes, heapPer10Minutes } = judge({
  minutes,
  samples,
  before,
  after,
  errors,
});
const requests = Object.entries(load.done).map(([kind, times]) => `${times} ${kind}`);
say(`\nrequests: ${requests.join(", ")}; machines: ${after.machines}`);
const rate = (/** @type {number} */ bytes) => `${(bytes / MIB).toFixed(2)} MiB`;
say(
  `after the warm-up, in 10 minutes: resident set ${rate(rssPer10Minutes)}, ` +
    `JavaScript's heap ${rate(heapPer10Minutes)}`,
);
say(`before: ${JSON.stringify(before)}\nafter:  ${JSON.stringify(after)}`);
if (faults.length > 0) say(`console of the guest, its end:\n${lines}`);
for (const fault of faults) say(`FAULT  ${fault}`);
say(faults.length === 0 ? "flat: nothing grew, nothing went wrong" : `${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
