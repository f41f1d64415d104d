// Open files, nodes and mapped files of a guest that goes on from a snapshot.
import * as nodefs from "node:fs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../abi/errno.ts";
import { hostFiles } from "../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { type FileGuest, savedFileGuests } from "../support/file-guest.ts";

const O_RDONLY = 0;
const O_RDWR = 2;
const MAP_WRITE = 1;
const SLOT = 65536;

const guests = await savedFileGuests();
let directory: string;
const at = (name: string) => `${directory}/${name}`;
beforeEach(() => {
  directory = makeFolder();
  nodefs.writeFileSync(at("a"), "abcdefgh");
  nodefs.writeFileSync(at("b"), "b");
  nodefs.mkdirSync(at("sub"));
  nodefs.writeFileSync(at("sub/c"), "below");
});
afterEach(removeFolders);

const open = (guest: FileGuest, path: string, flags = O_RDONLY) =>
  guest.now("SysOpenFile", path, flags);
/** The guest goes on in another machine. */
async function elsewhere(guest: FileGuest, options = {}) {
  return guests.restore(guest, await guest.machine.snapshot(), { directory, ...options });
}

/** Up to `most` helpings of an open directory. */
function entries(guest: FileGuest, list: number, most: number): Buffer {
  const at = guest.allocate(300);
  const parts: Buffer[] = [];
  while (parts.length < most) {
    const bytes = guest.now("SysReadDirectory", list, at, 300);
    if (bytes <= 0) break;
    parts.push(Buffer.from(guest.bytes(at, bytes)));
  }
  return Buffer.concat(parts);
}

describe("an open file", () => {
  test("is read on from where the guest was, in any number of clones", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a");
    expect(guest.read(file, 3)).toBe("abc");
    const clone = await elsewhere(guest);
    expect(clone.read(file, 2)).toBe("de");
    const next = await elsewhere(clone);
    expect(next.read(file)).toBe("fgh");
    expect(guest.read(file)).toBe("defgh");
    expect(next.now("SysCloseFile", file)).toBe(0);
  });

  test("is written on, and is neither created nor truncated by that", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a", O_RDWR);
    expect(guest.read(file, 6)).toBe("abcdef");
    const clone = await elsewhere(guest);
    expect(clone.write(file, "X")).toBe(1);
    expect(nodefs.readFileSync(at("a"), "latin1")).toBe("abcdefXh");
  });

  test("of a directory goes on with the names that are left", async () => {
    for (let i = 0; i < 40; i++) nodefs.writeFileSync(at(`sub/f${i}`), "");
    const guest = await guests.boot({ directory });
    const whole = entries(guest, open(guest, "/sub"), 100);
    const list = open(guest, "/sub");
    const first = entries(guest, list, 2);
    const clone = await elsewhere(guest);
    const rest = entries(clone, list, 100);
    expect(first.length).toBeGreaterThan(0);
    expect(rest.length).toBeGreaterThan(0);
    expect(Buffer.concat([first, rest])).toEqual(whole);
  });

  test("takes no descriptor before it is used", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a");
    const opened: number[] = [];
    const files = hostFiles();
    const counting = new Proxy(files, {
      get: (target, key) => {
        if (key !== "open") return Reflect.get(target, key).bind(target);
        return (inode: number, flags: number) => {
          opened.push(flags);
          return target.open(inode, flags);
        };
      },
    });
    const clone = await elsewhere(guest, { files: counting });
    expect(opened).toEqual([]);
    expect(clone.read(file)).toBe("abcdefgh");
    expect(clone.stat(file)).toMatchObject({ size: 8n });
    expect(opened).toEqual([O_RDONLY]);
  });
});

describe("SN10 a file that was", () => {
  test("deleted is stale, and no other takes its place", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a");
    const other = open(guest, "/b");
    expect(guest.read(file, 1)).toBe("a");
    const snapshot = await guest.machine.snapshot();
    nodefs.rmSync(at("a"));
    nodefs.writeFileSync(at("a"), "another file, of the same name");
    const clone = await guests.restore(guest, snapshot, { directory });
    expect(clone.read(file)).toBe(-Errno.ESTALE);
    expect(clone.stat(file)).toBe(-Errno.ESTALE);
    expect(clone.read(other)).toBe("b");
    // By its name there is the other one, and the old handle can be closed.
    expect(clone.read(open(clone, "/a"))).toBe("another file, of the same name");
    expect(clone.now("SysCloseFile", file)).toBe(0);
  });

  test("moved away is stale, for it is looked for by its name", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/sub/c");
    const snapshot = await guest.machine.snapshot();
    nodefs.renameSync(at("sub"), at("other"));
    const clone = await guests.restore(guest, snapshot, { directory });
    expect(clone.read(file)).toBe(-Errno.ESTALE);
    expect(clone.read(open(clone, "/other/c"))).toBe("below");
  });

  test("open and already unlinked is stale", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a");
    expect(guest.now("SysUnlink", "/a")).toBe(0);
    expect(guest.read(file, 2)).toBe("ab");
    const clone = await elsewhere(guest);
    expect(clone.read(file)).toBe(-Errno.ESTALE);
    expect(guest.read(file)).toBe("cdefgh");
  });

  test("changed has its new attributes, however long they were cached for", async () => {
    const guest = await guests.boot({ directory, attrTimeoutMs: 3_600_000 });
    expect(guest.stat("/a")).toMatchObject({ size: 8n });
    const snapshot = await guest.machine.snapshot();
    nodefs.appendFileSync(at("a"), "ij");
    nodefs.rmSync(at("b"));
    expect(guest.stat("/a")).toMatchObject({ size: 8n });
    const clone = await guests.restore(guest, snapshot, { directory, attrTimeoutMs: 3_600_000 });
    expect(clone.stat("/a")).toMatchObject({ size: 10n });
    expect(clone.stat("/b")).toBe(-Errno.ENOENT);
    guest.machine.rewind(snapshot);
    expect(guest.stat("/a")).toMatchObject({ size: 10n });
  });

  test("in a directory elsewhere: nothing but the root is found there", async () => {
    const guest = await guests.boot({ directory });
    const file = open(guest, "/a");
    const snapshot = await guest.machine.snapshot();
    const copy = makeFolder();
    nodefs.cpSync(directory, copy, { recursive: true });
    const clone = await guests.restore(guest, snapshot, { directory: copy });
    expect(clone.read(file)).toBe(-Errno.ESTALE);
    expect(clone.read(open(clone, "/a"))).toBe("abcdefgh");
  });
});

describe("a mapped file", () => {
  const options = { windowBytes: 4 * SLOT };

  test("shows its content again, and what the guest has stored was written before", async () => {
    nodefs.writeFileSync(at("a"), "a".repeat(SLOT + 10));
    const guest = await guests.boot({ directory, ...options });
    const file = open(guest, "/a", O_RDWR);
    const address = guest.now("SysMapFile", file, 0, SLOT + 10, MAP_WRITE);
    guest.bytes(address, 3).set(Buffer.from("XYZ"));
    const snapshot = await guest.machine.snapshot();
    expect(nodefs.readFileSync(at("a"), "latin1").slice(0, 4)).toBe("XYZa");
    nodefs.writeFileSync(at("a"), `new ${"a".repeat(SLOT + 6)}`);
    const clone = await guests.restore(guest, snapshot, { directory, ...options });
    expect(Buffer.from(clone.bytes(address, 5)).toString()).toBe("new a");
    expect(clone.bytes(address + SLOT, 10).every((byte) => byte === 97)).toBe(true);
    clone.bytes(address + SLOT, 1).set(Buffer.from("!"));
    expect(clone.now("SysUnmapFile", address)).toBe(0);
    expect(await clone.call("SysSyncFile", file, 0)).toBe(0n);
    expect(nodefs.readFileSync(at("a"), "latin1")[SLOT]).toBe("!");
  });

  test("that is gone shows zeros, and the guest can let it go", async () => {
    const guest = await guests.boot({ directory, ...options });
    const address = guest.now("SysMapFile", open(guest, "/a"), 0, 8, 0);
    expect(Buffer.from(guest.bytes(address, 8)).toString()).toBe("abcdefgh");
    const snapshot = await guest.machine.snapshot();
    nodefs.rmSync(at("a"));
    const clone = await guests.restore(guest, snapshot, { directory, ...options });
    expect(clone.bytes(address, 8).every((byte) => byte === 0)).toBe(true);
    expect(clone.now("SysUnmapFile", address)).toBe(0);
    expect(Buffer.from(guest.bytes(address, 8)).toString()).toBe("abcdefgh");
  });

  test("leaves nothing in the window of a machine that went back", async () => {
    const guest = await guests.boot({ directory, ...options });
    const snapshot = await guest.machine.snapshot();
    const address = guest.now("SysMapFile", open(guest, "/a"), 0, 8, 0);
    expect(guest.bytes(address, 1)[0]).toBe(97);
    guest.machine.rewind(snapshot);
    expect(guest.bytes(address, SLOT).every((byte) => byte === 0)).toBe(true);
  });
});

describe("requests in the thread pool", () => {
  /** All reads and writes go to the pool, and are answered when the test says so. */
  function held() {
    const waiting: (() => void)[] = [];
    const files = hostFiles();
    const holding = new Proxy(files, {
      get: (target, key) => {
        if (key !== "readLater" && key !== "writeLater") {
          return Reflect.get(target, key).bind(target);
        }
        return (...args: unknown[]) => {
          waiting.push(() => Reflect.apply(Reflect.get(target, key), target, args));
        };
      },
    });
    const limits = { slowMs: -1, stallMs: Number.POSITIVE_INFINITY };
    return { options: { files: holding, limits }, waiting };
  }

  test("SN16 a write that never ends: refused with the reason, and nothing has changed", async () => {
    const { options, waiting } = held();
    const guest = await guests.boot({ directory, ...options });
    const file = open(guest, "/a", O_RDWR);
    const reading = guest.call("SysReadFile", file, guest.allocate(8), 8);
    waiting.shift()?.();
    expect(await reading).toBe(8n);
    const write = guest.start("SysWriteFileAt", file, "WRITTEN", 0);
    expect(write.result).toBeUndefined();
    expect(waiting).toHaveLength(1);
    const refused = guest.machine.snapshot();
    const failed = expect(refused).rejects.toMatchObject({
      code: "ERR_SNAPSHOT_BUSY",
      message: "snapshot: fs site: a request is still under way after 5 s",
    });
    await new Promise((resolve) => setImmediate(resolve));
    guest.advance(5000);
    await failed;
    expect(guest.stat("/b")).toMatchObject({ size: 1n });
    waiting.shift()?.();
    while (write.result === undefined) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      guest.settle();
    }
    expect(write.result).toBe(7n);
    expect(nodefs.readFileSync(at("a"), "latin1")).toBe("WRITTENh");
    await guest.machine.snapshot();
  });

  test("are waited for; requests that follow wait in the ring, and are served afterwards", async () => {
    const { options, waiting } = held();
    const guest = await guests.boot({ directory, ...options });
    const file = open(guest, "/a", O_RDWR);
    const reading = guest.call("SysReadFile", file, guest.allocate(8), 8);
    waiting.shift()?.();
    expect(await reading).toBe(8n);
    const write = guest.start("SysWriteFileAt", file, "WRITTEN", 0);
    const saved = guest.machine.snapshot();
    await new Promise((resolve) => setImmediate(resolve));
    const stat = guest.start("SysAccessFile", "/sub", 0);
    expect(stat.result).toBeUndefined();
    waiting.shift()?.();
    const snapshot = await saved;
    guest.settle();
    expect(write.result).toBe(7n);
    expect(stat.result).toBe(0n);
    const clone = await guests.restore(guest, snapshot, { directory });
    clone.settle();
    // The clone's thread has the same answer, which its own device has given.
    expect(clone.machine.memory.view.getBigInt64(stat.record, true)).toBe(0n);
    expect(clone.machine.memory.view.getUint32(stat.record + 48, true)).toBe(1);
  });
});
