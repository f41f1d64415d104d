// virtio-fs device on a host that hangs: what may have to look at the disk goes to the thread pool,
// so that one call that hangs holds up nobody else; and what comes of requests meanwhile.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseEntryOut, FuseOpcode } from "../../../abi/fuse.ts";
import { broughtBy } from "../../../host/devices/fs/slow/replay.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { FileChanges, Files, LaterCall, LaterDone } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import {
  forget,
  getattr,
  lookup,
  named,
  open,
  opendir,
  ROOT,
  readArguments,
  release,
  words,
} from "../../support/fs-calls.ts";
import { counted } from "../../support/fs-faulty-host.ts";
import { FsPuppet, type Reply } from "../../support/fs-puppet.ts";

const SECOND_NS = 1_000_000_000;
const O_RDWR = 2;
const SLOT = 65536;
const NOTHING = new Uint8Array(0);

let directory = "";
let fs: FsPuppet;
let held: Set<number>;
/** How long the shared directory's own name takes. */
let rootNs = 0;
/** Calls that the thread pool has, by name; it answers when the test says so. */
let pool: { call: LaterCall; go: () => Promise<void> }[];
const at = (name: string) => join(directory, name);
const quad = (...values: number[]) => new Uint8Array(BigUint64Array.from(values, BigInt).buffer);
const join2 = (...parts: Uint8Array[]) => new Uint8Array(Buffer.concat(parts));

beforeEach(() => {
  directory = makeFolder();
  nodefs.writeFileSync(at("file"), "contents");
  nodefs.writeFileSync(at("slow"), "slow one");
  nodefs.mkdirSync(at("dir"));
  for (const name of ["a", "b", "c"]) nodefs.writeFileSync(join(at("dir"), name), name);
  nodefs.symlinkSync("file", at("link"));
  pool = [];
  const real = hostFiles();
  const later = (call: LaterCall, args: readonly unknown[], done: LaterDone) => {
    const go = () =>
      new Promise<void>((resolve) =>
        real.later?.(call, args, (error, result) => {
          const { inode } = broughtBy(call, result ?? {});
          if (inode !== undefined) held.add(inode);
          done(error, result);
          resolve();
        }),
      );
    pool.push({ call, go });
  };
  rootNs = 0;
  /** Names that begin with "slow" take a second, and the clock stands still otherwise. */
  const peek: Files["peek"] = (inode, name) => {
    if (Buffer.from(name).toString().startsWith("slow")) fs.nowNs += SECOND_NS;
    return real.peek(inode, name);
  };
  const root: Files["root"] = (path) => {
    if (rootNs > 0) fs.nowNs += rootNs; // not while `fs` is made
    return real.root(path);
  };
  const own: Partial<Files & FileChanges> = { later, peek, root };
  const files = new Proxy(real, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
  const books = counted(files);
  held = books.held;
  fs = new FsPuppet(directory, { readOnly: false, files: books.files, windowBytes: 4 * SLOT });
  fs.init();
});
afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

/** From here on the host is known to be slow. */
function stall(): void {
  forget(fs, lookup(fs, ROOT, "slow").nodeid, 1);
}

/** Lets the pool answer what it has and what is asked after that; returns the calls. */
async function drain(): Promise<LaterCall[]> {
  const calls: LaterCall[] = [];
  for (let one = pool.shift(); one !== undefined; one = pool.shift()) {
    calls.push(one.call);
    await one.go();
  }
  return calls;
}

const later = (opcode: number, args: Uint8Array, nodeid = ROOT) =>
  fs.requestLater(opcode, args, { nodeid });
const lookUp = (name: string, parent = ROOT) => later(FuseOpcode.LOOKUP, named(name), parent);
const nodeIn = ({ view }: Reply) => Number(view.getBigUint64(FuseEntryOut.nodeid, true));

describe("on a slow host", () => {
  test("looks names up in the thread pool while others go on", async () => {
    stall();
    const reply = lookUp("file");
    expect(pool.map(({ call }) => call)).toEqual(["peek"]);
    expect(fs.request(FuseOpcode.READLINK, NOTHING).error).toBe(-Errno.EINVAL);
    expect(await drain()).toEqual(["peek", "hold"]);
    expect((await reply).error).toBe(0);
    const again = lookUp("file");
    expect(await drain()).toEqual(["peek"]);
    expect(nodeIn(await again)).toBe(nodeIn(await reply));
  });

  test("gives one node to two lookups of one name at once", async () => {
    stall();
    const both = [lookUp("file"), lookUp("file")];
    while (pool.length > 0) await Promise.all(pool.splice(0).map(({ go }) => go()));
    const [one, two] = await Promise.all(both);
    expect(nodeIn(one as Reply)).toBe(nodeIn(two as Reply));
    forget(fs, nodeIn(one as Reply), 2);
    expect(held.size).toBe(1);
  });

  test("holds a symbolic link with its target", async () => {
    stall();
    const reply = lookUp("link");
    expect(await drain()).toEqual(["peek", "hold", "readlink", "peek"]);
    const text = fs.request(FuseOpcode.READLINK, NOTHING, { nodeid: nodeIn(await reply) });
    expect(Buffer.from(text.data).toString()).toBe("file");
  });

  test.each<[string, LaterCall[], () => Promise<Reply>]>([
    ["OPEN", ["open"], () => later(FuseOpcode.OPEN, words(0, 0), file)],
    ["OPEN with O_TRUNC", ["open", "stat", "resize"], () => later(15 - 1, words(0x202, 0), file)],
    ["GETATTR", ["stat"], () => later(FuseOpcode.GETATTR, quad(0, 0), file)],
    ["ACCESS", ["access"], () => later(FuseOpcode.ACCESS, words(4, 0), file)],
    ["STATFS", ["statfs"], () => later(FuseOpcode.STATFS, NOTHING, file)],
    ["SETATTR", ["chmod", "stat"], () => later(FuseOpcode.SETATTR, chmod(), file)],
    [
      "CREATE",
      ["peek", "create", "stat", "stat"],
      () => later(FuseOpcode.CREATE, join2(words(O_RDWR, 0o644, 0, 0), named("new"))),
    ],
    [
      "MKDIR",
      ["makeDirectory", "peek", "hold", "stat", "stat"],
      () => later(FuseOpcode.MKDIR, join2(words(0o755, 0), named("new"))),
    ],
    [
      "SYMLINK",
      ["symlink", "peek", "hold", "readlink", "peek"],
      () => later(FuseOpcode.SYMLINK, join2(named("new"), named("text"))),
    ],
    [
      "LINK",
      ["peek", "link", "peek"],
      () => later(FuseOpcode.LINK, join2(quad(file), named("new"))),
    ],
    ["UNLINK", ["unlink"], () => later(FuseOpcode.UNLINK, named("slow"))],
    ["RMDIR", ["removeDirectory"], () => later(FuseOpcode.RMDIR, named("empty"))],
    [
      "RENAME",
      ["rename", "peek"],
      () => later(FuseOpcode.RENAME, join2(quad(ROOT), named("slow"), named("new"))),
    ],
    [
      "SETUPMAPPING",
      ["open", "read", "read", "close"],
      () => later(FuseOpcode.SETUPMAPPING, quad(2 ** 53, 0, SLOT, 2, 0).fill(255, 0, 8), file),
    ],
  ])("also makes %s in the pool, each call once, and leaks nothing", async (_, calls, send) => {
    nodefs.mkdirSync(at("empty"));
    file = lookup(fs, ROOT, "file").nodeid;
    getattr(fs, file); // holds it
    stall();
    const before = descriptorsIn(directory);
    const reply = send();
    expect(await drain()).toEqual(calls);
    expect((await reply).error).toBe(0);
    fs.device.reset();
    await drain(); // of a slow host closing is not waited for
    expect([held.size, descriptorsIn(directory)]).toEqual([1, before - 1]);
  });

  test("makes one link by another name than the last one", async () => {
    const { nodeid } = lookup(fs, ROOT, "file");
    nodefs.linkSync(at("file"), at("b"));
    lookup(fs, ROOT, "b");
    nodefs.rmSync(at("b"));
    stall();
    const reply = later(FuseOpcode.LINK, join2(quad(nodeid), named("new")));
    expect(await drain()).toEqual(["peek", "peek", "link", "peek"]);
    expect((await reply).error).toBe(0);
  });

  test("closes a kept descriptor once after OPEN with O_TRUNC", async () => {
    const { nodeid } = lookup(fs, ROOT, "file");
    release(fs, nodeid, open(fs, nodeid));
    getattr(fs, nodeid); // holds it
    stall();
    fs.nowNs -= SECOND_NS; // or the host would be asked again whether it may be opened
    const before = descriptorsIn(directory);
    const reply = later(FuseOpcode.OPEN, words(0x200, 0), nodeid);
    expect(await drain()).toEqual(["stat", "resize"]);
    expect([(await reply).error, descriptorsIn(directory)]).toEqual([0, before]);
  });

  test("lists every entry after asking for each", async () => {
    const { nodeid } = lookup(fs, ROOT, "dir");
    const fh = opendir(fs, nodeid);
    stall();
    const args = new DataView(new ArrayBuffer(40));
    args.setBigUint64(0, BigInt(fh), true);
    args.setUint32(16, 2048, true);
    const reply = later(FuseOpcode.READDIRPLUS, new Uint8Array(args.buffer), nodeid);
    expect(await drain()).toEqual(["list", "peek", "peek", "peek"]);
    expect((await reply).data.length).toBe(5 * 160);
  });

  test("passes errors on unchanged", async () => {
    stall();
    const none = lookUp("none");
    const there = later(FuseOpcode.MKDIR, join2(words(0o755, 0), named("dir")));
    await drain();
    expect([(await none).error, (await there).error]).toEqual([-Errno.ENOENT, -Errno.EEXIST]);
  });

  test("is called within the kick again once it has answered quickly for a while", async () => {
    stall();
    const replies = Array.from({ length: 8 }, () => lookUp("none"));
    await drain();
    await Promise.all(replies);
    expect(lookup(fs, ROOT, "file").error).toBe(0);
  });

  test("is not called within the kick while one call hangs", async () => {
    stall();
    const hung = lookUp("file");
    const [call] = pool.splice(0);
    fs.nowNs += SECOND_NS;
    for (let i = 0; i < 9; i++) {
      void lookUp("none");
      expect(await drain()).toEqual(["peek"]);
    }
    await call?.go();
    expect(await drain()).toEqual(["hold"]);
    expect((await hung).error).toBe(0);
    for (let i = 0; i < 8; i++) {
      void lookUp("none");
      await drain();
    }
    expect(lookup(fs, ROOT, "file").error).toBe(0);
  });
});

describe("a host that begins to hang", () => {
  test("holds up one request of a kick, and the others wait for the pool", async () => {
    vi.spyOn(fs.device, "notify").mockImplementationOnce(() => {});
    const [slow, file] = [lookUp("slow"), lookUp("file")];
    expect(pool.map(({ call }) => call)).toEqual(["peek"]);
    expect((await slow).error).toBe(0);
    await drain();
    expect((await file).error).toBe(0);
  });

  test("is asked for one entry in the loop, and READDIRPLUS goes on in the pool", async () => {
    nodefs.mkdirSync(at("names"));
    for (let i = 0; i < 5; i++) nodefs.writeFileSync(at(`names/slow${i}`), "");
    const { nodeid } = lookup(fs, ROOT, "names");
    const fh = opendir(fs, nodeid);
    const first = fs.request(FuseOpcode.READDIRPLUS, readArguments(fh, 0, 2048), { nodeid });
    expect([first.data.length, fs.nowNs]).toEqual([3 * 160, SECOND_NS]);
    const rest = later(FuseOpcode.READDIRPLUS, readArguments(fh, 3, 2048), nodeid);
    expect(await drain()).toEqual(["peek", "peek", "peek", "peek"]);
    expect((await rest).data.length).toBe(4 * 160);
  });

  test("is asked once in the loop if the shared directory itself hangs", async () => {
    opendir(fs, ROOT);
    rootNs = SECOND_NS;
    fs.alarm();
    expect([fs.nowNs, pool]).toEqual([SECOND_NS, []]);
    fs.alarm();
    fs.alarm(); // the pool is asked once at a time
    expect([fs.nowNs, pool.map(({ call }) => call)]).toEqual([SECOND_NS, ["root"]]);
    expect(await drain()).toEqual(["root", "stat"]);
  });
});

let file = 0;
const chmod = () => {
  const args = new DataView(new ArrayBuffer(88));
  args.setUint32(0, 1, true);
  args.setUint32(68, 0o600, true);
  return new Uint8Array(args.buffer);
};

describe("while a call hangs", () => {
  test("holds a node that the guest forgets until the call has returned", async () => {
    const { nodeid } = lookup(fs, ROOT, "dir");
    stall();
    const reply = lookUp("a", nodeid);
    forget(fs, nodeid, 1);
    const other = nodefs.openSync(at("file"), "r"); // would get the number of a closed one
    expect(held.size).toBe(2);
    expect(await drain()).toEqual(["peek", "hold"]);
    expect((await reply).error).toBe(0);
    forget(fs, nodeIn(await reply), 1);
    expect(held.size).toBe(1);
    nodefs.closeSync(other);
  });

  test("releases the result when nobody waits for it any more", async () => {
    const { nodeid } = lookup(fs, ROOT, "dir");
    stall();
    const before = descriptorsIn(directory);
    void lookUp("a", nodeid);
    await pool.shift()?.go();
    expect(pool.map(({ call }) => call)).toEqual(["hold"]);
    for (const queue of fs.queues) queue.detach();
    fs.device.reset();
    await drain();
    expect([held.size, descriptorsIn(directory)]).toEqual([1, before - 1]);
  });

  test("G30: ends it on a reset, and a late answer touches nothing", async () => {
    const nodeid = lookup(fs, ROOT, "file").nodeid;
    stall();
    for (const name of ["a", "b"]) void lookUp(name);
    void later(FuseOpcode.OPEN, words(0, 0), nodeid);
    for (const queue of fs.queues) queue.detach();
    fs.device.reset();
    const memory = Buffer.from(fs.memory.u8);
    await drain();
    expect(memory.equals(fs.memory.u8)).toBe(true);
    expect(held.size).toBe(1);
  });

  test("makes at most sixteen calls, and a reset forgets those that wait", async () => {
    stall();
    for (let i = 0; i < 20; i++) void lookUp("none");
    expect(pool).toHaveLength(16);
    for (const queue of fs.queues) queue.detach();
    fs.device.reset();
    expect(await drain()).toHaveLength(16);
  });

  test("closes the handle after it", async () => {
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    stall();
    const cut = new DataView(new ArrayBuffer(88));
    cut.setUint32(0, (1 << 3) | (1 << 6), true);
    cut.setBigUint64(8, BigInt(fh), true);
    const reply = later(FuseOpcode.SETATTR, new Uint8Array(cut.buffer), nodeid);
    while (pool[0]?.call !== "truncate") await pool.shift()?.go();
    expect(release(fs, nodeid, fh)).toBe(0);
    await pool.shift()?.go();
    await drain();
    expect((await reply).error).toBe(-Errno.EBADF);
    expect(nodefs.readFileSync(at("file"), "utf8")).toBe("");
  });
});
