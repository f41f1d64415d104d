// A snapshot file that somebody made by hand, checksums and all: it is refused, or what comes of it
// is a hostile guest at worst. Nothing of the host is reached, nothing throws that is no
// SnapshotError, and nothing grows without a bound.
import * as nodefs from "node:fs";
import { runInThisContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Entries } from "../../host/entry.ts";
import { sha256 } from "../../host/node/platform.ts";
import { SnapshotError } from "../../host/snapshot/errors.ts";
import { decodeSnapshot, encodeSnapshot } from "../../host/snapshot/file.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { descriptorsIn } from "../support/descriptors.ts";
import { Random } from "../support/simulation-random.ts";
import { Site, webServer } from "../support/snapshot-site.ts";

/** A head, as anybody may write it. */
type Json = ReturnType<typeof JSON.parse>;

let directory: string;
let file: Uint8Array;
beforeAll(async () => {
  const folder = makeFolder();
  directory = `${folder}/site`;
  nodefs.mkdirSync(`${directory}/sub`, { recursive: true });
  nodefs.writeFileSync(`${directory}/index.html`, "home");
  nodefs.writeFileSync(`${directory}/sub/b`, "b");
  nodefs.writeFileSync(`${folder}/secret`, "secret");
  const site = await Site.boot(directory, { fs: { windowBytes: 1 << 20 } });
  site.connect().get("/");
  site.get("/sub/b");
  file = encodeSnapshot(await site.machine.snapshot(), sha256);
});
afterAll(removeFolders);

/** The file with another head, and checksums that fit. */
function forged(lie: (head: Json) => void, pages = (bytes: Uint8Array) => bytes): Uint8Array {
  const length = Buffer.from(file).readUInt32LE(12);
  const head = JSON.parse(Buffer.from(file.subarray(16, 16 + length)).toString());
  lie(head);
  const body = pages(file.slice(16 + length + 32));
  const GROUP = 1 << 20;
  head.sums = Array.from({ length: Math.ceil(body.length / GROUP) }, (_, i) =>
    sha256(body.subarray(i * GROUP, (i + 1) * GROUP)),
  );
  const json = Buffer.from(JSON.stringify(head));
  const front = Buffer.from(file.subarray(0, 16));
  front.writeUInt32LE(json.length, 12);
  const before = Buffer.concat([front, json]);
  return Buffer.concat([before, Buffer.from(sha256(before), "hex"), body]);
}

/** Longer than any entry of the guest takes on any machine. */
const ENDLESS_MS = 20_000;

/** Runs it with a watchdog. False: it never returns, as a hostile guest may do. */
function returns(body: () => void, ms = ENDLESS_MS): boolean {
  const scope = globalThis as { hostileRun?: () => void };
  scope.hostileRun = body;
  try {
    runInThisContext("hostileRun()", { timeout: ms });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ERR_SCRIPT_EXECUTION_TIMEOUT") throw error;
    return false;
  } finally {
    delete scope.hostileRun;
  }
}

// Every entry of a guest has the watchdog, after which the guest counts as trapped.
const { visit } = Entries.prototype;
Entries.prototype.visit = function (this: Entries, body, failed) {
  return visit.call(
    this,
    () => {
      if (!returns(body)) throw new WebAssembly.RuntimeError("it never returns");
    },
    failed,
  );
};

/** Restores it, and lets clients come; returns how it was refused, or "". */
async function outcome(bytes: Uint8Array): Promise<string> {
  let site: Site;
  try {
    site = await Site.restore(decodeSnapshot(bytes, sha256), directory, {
      image: webServer,
      fs: { windowBytes: 1 << 20 },
    });
  } catch (error) {
    expect(error).toBeInstanceOf(SnapshotError);
    return (error as SnapshotError).message;
  }
  for (const path of ["/", "/sub/b", "/sub/"]) {
    expect(site.get(path)).not.toContain("secret");
    site.clock.advance(1000);
  }
  const exit = await Promise.race([site.machine.exited, null]);
  site.machine.dispose();
  expect(exit === null || exit.kind === "panic").toBe(true);
  return "";
}

test("a guest that never returns is stopped", () => {
  expect(returns(() => {})).toBe(true);
  const endless = new WebAssembly.Module(
    Uint8Array.from([
      ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 4, 1, 96, 0, 0, 3, 2, 1, 0, 7, 5, 1, 1, 102, 0, 0],
      ...[10, 9, 1, 7, 0, 3, 64, 12, 0, 11, 11],
    ]),
  );
  const { f } = new WebAssembly.Instance(endless).exports as { f: () => void };
  expect(returns(f, 100)).toBe(false);
});

test("forging nothing gives a snapshot that works", async () => {
  expect(await outcome(forged(() => {}))).toBe("");
});

const vsock = (head: Json) => head.devices[0].registers;
const fs = (head: Json) => head.devices[1].registers.device;
const names = (text: string) => (head: Json) => {
  fs(head).nodes[0].names[0].name = text;
};

describe("SN13 refused", () => {
  test.each<[string, (head: Json) => void, RegExp]>([
    [
      "rings outside the RAM",
      (h) => vsock(h).queues[0].desc.splice(0, 1, 0xfffff000),
      /outside guest memory/,
    ],
    ["rings above 4 GiB", (h) => vsock(h).queues[0].desc.splice(1, 1, 1), /rings above 4 GiB/],
    ["a queue of no power of two", (h) => (vsock(h).queues[0].size = 3), /queue size 3/],
    ["a queue of 2^32", (h) => (vsock(h).queues[0].size = 2 ** 32), /not a number from 0/],
    [
      "a held head beyond the queue",
      (h) => vsock(h).queues[0].ring.held.push(32767),
      /held head 32767/,
    ],
    ["a held head twice", (h) => (vsock(h).queues[0].ring.held = [1, 1]), /held head 1/],
    [
      "a million held heads",
      (h) => (vsock(h).queues[0].ring.held = Array(1e6).fill(0)),
      /at most 32768/,
    ],
    ["an index of a ring below 0", (h) => (vsock(h).queues[0].ring.lastAvail = -1), /lastAvail/],
    ["fewer queues", (h) => vsock(h).queues.pop(), /are not as many/],
    ["features that nobody offers", (h) => (vsock(h).accepted = `${1n << 40n}`), /does not offer/],
    ["features of 65 bits", (h) => (vsock(h).accepted = `${1n << 64n}`), /64 bits/],
    ["a status of 300", (h) => (vsock(h).status = 300), /status/],
    ["2^32 nodes", (h) => (fs(h).nodes = Array(20_000).fill(fs(h).nodes[0])), /at most \d+ values/],
    ["a node twice", (h) => fs(h).nodes.push(fs(h).nodes[0]), /node \d+ twice/],
    [
      "the last number of all nodes",
      (h) => (fs(h).nextNode = Number.MAX_SAFE_INTEGER),
      /nextNode is not a number/,
    ],
    ["a next number that a node has", (h) => (fs(h).nextNode = 2), /nextNode is 2, after/],
    ["the root as a node", (h) => (fs(h).nodes[0].id = 1), /node 1 twice/],
    ["a node of no type", (h) => (fs(h).nodes[0].stat.mode = "0"), /no type/],
    [
      "a file as a parent",
      (h) => (fs(h).nodes[0].names[0].parent = fs(h).nodes[0].id),
      /name of no entry/,
    ],
    ["a parent that is nobody", (h) => (fs(h).nodes[0].names[0].parent = 999), /name of no entry/],
    ["..", names(".."), /name of no entry/],
    [".", names("."), /name of no entry/],
    ["no name", names(""), /name of no entry/],
    ["a name with a slash", names("../secret"), /name of no entry/],
    ["a name with a NUL", names("index.html\0"), /name of no entry/],
    ["a name too long", names("x".repeat(256)), /at most 255/],
    ["a name that is no bytes", names("\u{1F600}"), /not bytes/],
    [
      "a handle of a directory as a file",
      (h) => fs(h).handles.push({ id: 9, node: 1, flags: 0, names: [] }),
      /handle 9/,
    ],
    [
      "a handle that writes",
      (h) => fs(h).handles.push({ id: 9, node: fs(h).nodes[0].id, flags: 2, names: [] }),
      /read-only/,
    ],
    [
      "a handle of nobody",
      (h) => fs(h).handles.push({ id: 9, node: 999, flags: 0, names: [] }),
      /handle 9/,
    ],
    [
      "names of a directory that lead out",
      (h) => fs(h).handles.push({ id: 9, node: 1, flags: null, names: ["../secret"] }),
      /name of no entry/,
    ],
    [
      "a slot outside the window",
      (h) => fs(h).slots.push({ index: 99, node: fs(h).nodes[0].id, offset: 0, writing: null }),
      /slot 99/,
    ],
    [
      "a slot that writes",
      (h) => fs(h).slots.push({ index: 1, node: fs(h).nodes[0].id, offset: 0, writing: 0 }),
      /mapping writes/,
    ],
    [
      "a slot at an odd offset",
      (h) => fs(h).slots.push({ index: 15, node: fs(h).nodes[0].id, offset: 5, writing: null }),
      /slot 15/,
    ],
    ["globals out of range", (h) => (h.globals[0] = `${1n << 64n}`), /64 bits/],
    ["globals that are no numbers", (h) => (h.globals[0] = "x"), /64 bits/],
    ["too few globals", (h) => h.globals.pop(), /not the image's globals/],
    ["runs that overlap", (h) => h.runs.splice(2, 1, h.runs[0]), /overlap/],
    ["runs that leave the RAM", (h) => h.runs.splice(-2, 1, 4096), /outside the memory/],
    ["half a run", (h) => h.runs.push(4095), /half a run/],
    ["an endless run", (h) => h.runs.splice(-1, 1, 2 ** 32), /not a number/],
    ["memory of 5 bytes", (h) => (h.ramBytes = 5), /memory of 5 bytes/],
    ["memory beyond 4 GiB", (h) => (h.ramBytes = 2 ** 33), /ramBytes/],
    ["a time before time", (h) => (h.nowNs = -1), /nowNs/],
    ["a fraction of a device", (h) => (h.devices = "two"), /devices/],
    ["no head at all", (h) => (h.image = undefined), /head.image/],
    [
      "its prototype",
      (h) => (h.devices[0].registers = JSON.parse('{"__proto__": {"status": 1}}')),
      /selectors/,
    ],
  ])("%s", async (_, lie, message) => {
    expect(await outcome(forged(lie))).toMatch(message);
  });
});

test("SN13 what is refused leaves no descriptor", async () => {
  const lies = [(h: Json) => vsock(h).queues.pop(), (h: Json) => (fs(h).nextNode = 2), names("..")];
  for (const lie of lies) expect(await outcome(forged(lie))).not.toBe("");
  const before = descriptorsIn(`${directory}/..`);
  for (let i = 0; i < 20; i++) for (const lie of lies) await outcome(forged(lie));
  expect(descriptorsIn(`${directory}/..`)).toBe(before);
});

describe("SN13 a hostile guest at worst", () => {
  test.each<[string, (head: Json) => void]>([
    ["globals that are all ones", (h) => (h.globals = h.globals.map(() => `${(1n << 64n) - 1n}`))],
    ["globals that are zero", (h) => (h.globals = h.globals.map(() => "0"))],
    ["rings that stand elsewhere", (h) => (vsock(h).queues[1].ring.lastAvail ^= 0x4000)],
    ["rings over the image", (h) => (vsock(h).queues[0].driver = [0x10000, 0])],
    ["heads that nobody posted", (h) => (vsock(h).queues[1].ring.held = [0, 1, 2, 3])],
    ["no session with the file server", (h) => (fs(h).started = false)],
    ["a line of the console without end", (h) => (h.line = "x".repeat(1 << 20))],
    ["a symbolic link to a secret", (h) => (fs(h).nodes[0].target = "../secret")],
    ["references without end", (h) => (fs(h).nodes[0].references = 2 ** 52)],
    ["a number of nodes that is large", (h) => (fs(h).nextNode = 2 ** 52)],
    ["another inode", (h) => (fs(h).nodes[0].stat.ino = "1")],
    ["another type", (h) => (fs(h).nodes[0].stat.mode = `${0o010644}`)],
    ["a time far away", (h) => (h.nowNs = Number.MAX_SAFE_INTEGER)],
    ["a status without its past", (h) => (vsock(h).status = 4)],
    ["interrupts that nobody raised", (h) => (vsock(h).interruptStatus = 3)],
  ])("%s", async (_, lie) => {
    expect(await outcome(forged(lie))).toBe("");
  });

  test("directories within each other, in circles and thousands deep", async () => {
    const deep = (head: Json) => {
      const { nodes } = fs(head);
      const [like] = nodes;
      const stat = (i: number) => ({ ...like.stat, mode: `${0o040755}`, ino: `${i}` });
      nodes.length = 0;
      fs(head).nextNode = 1000;
      for (let i = 0; i < 500; i++) {
        const parent = i === 0 ? 599 : 99 + i;
        nodes.push({ ...like, id: 100 + i, stat: stat(i), names: [{ parent, name: "d" }] });
      }
    };
    expect(await outcome(forged(deep))).toBe("");
  });

  test("pages of noise, in any number of ways", async () => {
    const random = new Random(4);
    for (let i = 0; i < 12; i++) {
      const spoil = (bytes: Uint8Array) => {
        for (let k = 0; k < 300; k++) bytes[random.below(bytes.length)] = random.below(256);
        return bytes;
      };
      expect(await outcome(forged(() => {}, spoil))).toBe("");
    }
  });

  test("heads of noise", async () => {
    const random = new Random(5);
    const noise = [-1, 0, 1, 65535, 2 ** 32, 2 ** 53, null, "", "x", [], {}, true, "9".repeat(30)];
    for (let i = 0; i < 60; i++) {
      const spoil = (head: Json) => {
        let at = head;
        for (let depth = 0; depth < 8; depth++) {
          const keys = Object.keys(at);
          const key = keys[random.below(keys.length)];
          if (key === undefined) return;
          if (typeof at[key] !== "object" || at[key] === null || random.chance(0.1)) {
            at[key] = random.any(noise);
            return;
          }
          at = at[key];
        }
      };
      await outcome(forged(spoil));
    }
  });
});
