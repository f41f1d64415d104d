// Files: reading and writing by size, opening and listing, beside the same calls of Node on the
// host's directory. All is in the host's cache: what is measured is the way there.
import * as fs from "node:fs";
import { join } from "node:path";
import { compile } from "../../tools/compile.mjs";
import { makeFolder } from "../lib/programs.mjs";
import { sizeName } from "../lib/report.mjs";

/** @typedef {import("../lib/report.mjs").Sample} Sample */
/** @typedef {import("../run.mjs").Run} Run */
/** @typedef {{ name: string, kind: number, block: number, random: boolean,
 *   files: number, count: number }} Case */

const MIB = 1024 * 1024;
const FILE_BYTES = 64 * MIB;
const MEMORY_BYTES = 64 * MIB;
const SIZES = [4096, 16384, 65536, 262144, MIB];
const MOVED_BYTES = 256 * MIB;
const OPERATIONS_MAX = 20_000;
const FILES = 10_000;
const OPENED = 10_000;
const [READ, WRITE, OPEN, LIST] = [0, 1, 2, 3];
const TORITO = "torito";
const NODE = "node:fs";

export const ratioMetrics = ["rate"];
export const pairsOf = () => [[TORITO, NODE]];

/** @param {number} kind @param {boolean} random */
const wayOf = (kind, random) =>
  `${random ? "random" : "sequential"} ${kind === READ ? "read" : "write"}`;

/** @param {number} scale @returns {Case[]} */
function cases(scale) {
  const moves = [READ, WRITE].flatMap((kind) =>
    [false, true].flatMap((random) =>
      SIZES.map((block) => ({
        name: `${wayOf(kind, random)}, ${sizeName(block)}`,
        kind,
        block,
        random,
        files: 0,
        count: Math.ceil(Math.min(MOVED_BYTES / block, OPERATIONS_MAX) * scale),
      })),
    ),
  );
  const rest = { block: 0, random: false, files: FILES };
  return [
    ...moves,
    ...[1000, FILES].map((files) => ({
      name: `open, stat, close one of ${files}`,
      kind: OPEN,
      block: 0,
      random: false,
      files,
      count: Math.ceil(OPENED * scale),
    })),
    { name: `list ${FILES} entries`, kind: LIST, ...rest, count: 1 },
  ];
}

/** A file to read and write, and a directory with many. */
function makeDirectory() {
  const directory = makeFolder();
  fs.writeFileSync(join(directory, "data"), Buffer.alloc(FILE_BYTES, 1));
  fs.mkdirSync(join(directory, "list"));
  for (let i = 0; i < FILES; i++) fs.writeFileSync(join(directory, "list", nameOf(i)), "x");
  return directory;
}

/** @param {number} i */
const nameOf = (i) => String(i).padStart(5, "0");

/** The guest's work, done by Node. @param {string} directory @param {Case} one seconds */
function byNode(directory, { kind, block, random, files, count }) {
  const buffer = Buffer.alloc(MIB, 0x5a);
  const started = process.hrtime.bigint();
  if (kind === LIST) {
    fs.readdirSync(join(directory, "list"), { withFileTypes: true }); // as the guest's listing says
  } else if (kind === OPEN) {
    for (let i = 0; i < count; i++) {
      const file = fs.openSync(join(directory, "list", nameOf(i % files)), "r");
      fs.fstatSync(file);
      fs.closeSync(file);
    }
  } else {
    const file = fs.openSync(join(directory, "data"), "r+");
    const blocks = FILE_BYTES / block;
    const move = kind === READ ? fs.readSync : fs.writeSync;
    for (let i = 0, at = 0, seed = 1; i < count; i++) {
      move(file, buffer, 0, block, at * block);
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      at = random ? Math.floor((seed * blocks) / 2 ** 32) : (at + 1) % blocks;
    }
    fs.closeSync(file);
  }
  return Number(process.hrtime.bigint() - started) / 1e9;
}

/** @param {Run} run */
export async function measure(run) {
  const { FsDevice, Machine } = await import("../../dist/host/index.js");
  const { wasm } = await compile("bench/guest/files.ts", "release", { kind: "calls" });
  const image = await WebAssembly.compile(wasm);
  const directory = makeDirectory();
  /** @type {Sample[]} */
  const samples = [];
  for (let round = 0; round <= run.rounds; round++) {
    const device = new FsDevice({ directory, tag: "dir", readOnly: false });
    const machine = await Machine.create({ image, memoryBytes: MEMORY_BYTES, devices: [device] });
    machine.boot();
    machine.call("prepare");
    const at = Number(machine.call("took"));
    const took = async () => {
      for (;;) {
        const ns = machine.memory.view.getBigInt64(at, true);
        if (ns >= 0n) return Number(ns) / 1e9;
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    await took();
    for (const one of cases(run.scale)) {
      const { kind, block, random, files, count } = one;
      const units = kind === OPEN ? files : block === 0 ? 0 : FILE_BYTES / block;
      machine.call("begin", kind, block, units, random ? 1 : 0, count);
      const ours = await took();
      const seconds = {
        [TORITO]: ours,
        [NODE]: byNode(directory, one),
      };
      if (round === 0) continue; // V8 compiles
      for (const [subject, took] of Object.entries(seconds)) {
        const operations = kind === LIST ? FILES : count;
        const row = { case: one.name, subject };
        samples.push(
          { ...row, metric: "rate", unit: "operations/s", value: operations / took },
          { ...row, metric: "time", unit: "us/operation", value: (took / operations) * 1e6 },
        );
        if (block === 0) continue;
        const mb = (operations * block) / 1e6;
        samples.push({ ...row, metric: "throughput", unit: "MB/s", value: mb / took });
      }
    }
    const { bytesRead, bytesWritten, bytesCopied } = device.stats;
    const copies = bytesCopied / (bytesRead + bytesWritten);
    const row = { case: "all reads and writes", subject: TORITO };
    if (round > 0) samples.push({ ...row, metric: "copies", unit: "per byte", value: copies });
    machine.dispose();
    run.note(`fs, round ${round} of ${run.rounds}`);
  }
  return samples;
}

/**
 * @param {import("../lib/report.mjs").Result} result
 * @returns {import("../lib/plot.mjs").Panel[]}
 */
export function panels({ rows }) {
  const lines = ["sequential read", "random read", "sequential write", "random write"];
  return [
    {
      title: "A call on the guest's file system by that of Node on the host's, time",
      x: "block",
      y: "us",
      labels: SIZES.map(sizeName),
      lines: lines.flatMap((way) =>
        [TORITO, NODE].map((subject) => ({
          name: `${way}, ${subject}`,
          points: SIZES.flatMap((size, x) => {
            const row = rows.find(
              (one) =>
                one.case === `${way}, ${sizeName(size)}` &&
                one.subject === subject &&
                one.metric === "time",
            );
            return row === undefined ? [] : [{ x, y: row.median, min: row.min, max: row.max }];
          }),
        })),
      ),
    },
  ];
}
