// virtio-fs device, rules by number that no other test has as its subject; and listings that stay
// whole while the directory changes.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseAttr, FuseAttrOut, FuseEntryOut, FuseInitOut, FuseOpcode } from "../../../abi/fuse.ts";
import { FsDevice } from "../../../host/node/devices.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { isWindowsName } from "../../../host/node/files/path-files.ts";
import type { FileStat } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import {
  type Dirent,
  forget,
  getattr,
  lookup,
  named,
  open,
  opendir,
  ROOT,
  readdir,
} from "../../support/fs-calls.ts";
import { create, mkdir, write } from "../../support/fs-change-calls.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";
import { SimulatedFiles } from "../../support/simulation-files.ts";

const O_RDWR = 2;
let directory: string;
let fs: FsPuppet;

beforeEach(() => {
  directory = makeFolder();
  nodefs.writeFileSync(join(directory, "hello"), "hello");
  fs = new FsPuppet(directory, { readOnly: false });
  fs.init();
});

afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

describe("rules of the protocol", () => {
  test("U6: answers EBADF to unknown nodes and handles in every operation", () => {
    const blank = new Uint8Array(96);
    const some = [FuseOpcode.GETATTR, FuseOpcode.SETATTR, FuseOpcode.OPEN, FuseOpcode.STATFS];
    for (const opcode of some) {
      expect(fs.request(opcode, blank, { nodeid: 4711 }).error).toBe(-Errno.EBADF);
    }
    const { nodeid } = lookup(fs, ROOT, "hello");
    const handled = [FuseOpcode.READ, FuseOpcode.RELEASE, FuseOpcode.FLUSH, FuseOpcode.FSYNC];
    for (const opcode of [...handled, FuseOpcode.LSEEK]) {
      expect(fs.request(opcode, blank, { nodeid }).error).toBe(-Errno.EBADF);
    }
  });

  test("U7: creates, moves and removes no '.', no '..' and no '/'", () => {
    const sub = mkdir(fs, ROOT, "sub", 0o755).nodeid;
    for (const name of [".", "..", "a/b"]) {
      expect(create(fs, sub, name, O_RDWR, 0o600).error).toBe(-Errno.EINVAL);
      expect(mkdir(fs, sub, name, 0o700).error).toBe(-Errno.EINVAL);
    }
    expect(nodefs.readdirSync(directory).sort()).toEqual(["hello", "sub"]);
  });

  test("U11: does not offer write-back caching, which would hide writes from the host", () => {
    const { view } = fs.init();
    const WRITEBACK_CACHE = 1 << 16;
    expect(view.getUint32(FuseInitOut.flags, true) & WRITEBACK_CACHE).toBe(0);
  });

  test("U17: lets the guest cache missing names only if that was asked for", () => {
    const believing = new FsPuppet(directory, { readOnly: false, limits: { missingMs: 1500 } });
    believing.init();
    const ask = (puppet: FsPuppet) => puppet.request(FuseOpcode.LOOKUP, named("missing"));
    const { error, view } = ask(believing);
    expect([error, view.byteLength]).toEqual([0, FuseEntryOut.sizeof]);
    expect(view.getBigUint64(FuseEntryOut.nodeid, true)).toBe(0n);
    expect(view.getBigUint64(FuseEntryOut.entry_valid, true)).toBe(1n);
    expect(view.getUint32(FuseEntryOut.entry_valid_nsec, true)).toBe(500_000_000);
    create(believing, ROOT, "missing", O_RDWR, 0o600);
    expect(ask(believing).view.getBigUint64(FuseEntryOut.nodeid, true)).toBeGreaterThan(1n);
    nodefs.unlinkSync(join(directory, "missing"));
    expect([ask(fs).error, ask(fs).data.length]).toEqual([-Errno.ENOENT, 0]);
    believing.device.dispose();
  });

  test("U22: new files belong to this process, whatever uid the guest sends", () => {
    create(fs, ROOT, "mine", O_RDWR, 0o600);
    const { uid, gid } = nodefs.statSync(join(directory, "mine"));
    expect([uid, gid]).toEqual([process.geteuid?.(), process.getegid?.()]);
  });

  test("F4, F9: offers no notifications, and has no queue for them", () => {
    expect(fs.device.features).toBe(0n);
    expect(fs.device.queueNames[1]).toBe("request 0");
  });

  test("F10: offers no locks, so none can run out", () => {
    for (const opcode of [FuseOpcode.GETLK, FuseOpcode.SETLK, FuseOpcode.SETLKW]) {
      expect(fs.request(opcode, new Uint8Array(64), { nodeid: ROOT }).error).toBe(-Errno.ENOSYS);
    }
  });

  test("W14, U18: answers ENOSYS to extended attributes of any size, and makes none", () => {
    const args = new Uint8Array(8 + 20).fill(0xff);
    args.set(Buffer.from("user.name\0"), 8);
    for (const opcode of [FuseOpcode.SETXATTR, FuseOpcode.GETXATTR, FuseOpcode.LISTXATTR]) {
      expect(fs.request(opcode, args, { nodeid: ROOT }).error).toBe(-Errno.ENOSYS);
    }
  });
});

test("keeps sizes and inode numbers beyond 2^53 exact", () => {
  const [ino, size] = [2n ** 63n + 1n, 2n ** 62n + 3n];
  const host = hostFiles();
  const large = (stat: FileStat): FileStat => ({
    ...stat,
    ino: stat.mode >> 12n === 8n ? ino : stat.ino,
    size,
  });
  const own = {
    peek: (...args: Parameters<typeof host.peek>) => {
      const stat = host.peek(...args);
      return stat === null ? null : large(stat);
    },
    hold: (...args: Parameters<typeof host.hold>) => {
      const held = host.hold(...args);
      return { inode: held.inode, stat: large(held.stat) };
    },
    stat: (inode: number) => large(host.stat(inode)),
  };
  const files = new Proxy(host, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
  const puppet = new FsPuppet(directory, { files });
  puppet.init();
  const { nodeid, ...found } = lookup(puppet, ROOT, "hello");
  expect([found.ino, found.size]).toEqual([ino, size]);
  const { view } = puppet.request(FuseOpcode.GETATTR, new Uint8Array(16), { nodeid });
  expect(view.getBigUint64(FuseAttrOut.attr + FuseAttr.ino, true)).toBe(ino);
  const fh = opendir(puppet, ROOT);
  const listed = readdir(puppet, ROOT, fh, 0, 4096, true) as Dirent[];
  expect(listed.find((one) => String(one.name) === "hello")?.ino).toBe(ino);
  puppet.device.dispose();
});

test.each([false, true])(
  "U15: while files come and go, what is there all the time is listed once (READDIRPLUS: %s)",
  (plus) => {
    const name = (i: number) => `file-${String(i).padStart(4, "0")}`;
    for (let i = 0; i < 1000; i++) nodefs.writeFileSync(join(directory, name(i)), "");
    const seen = new Map<string, number>();
    const fh = opendir(fs, ROOT);
    let cookie = 0;
    let made = 1000;
    for (let round = 0; ; round++) {
      const entries = readdir(fs, ROOT, fh, cookie, plus ? 1500 : 500, plus) as Dirent[];
      if (entries.length === 0) break;
      for (const entry of entries) {
        seen.set(String(entry.name), (seen.get(String(entry.name)) ?? 0) + 1);
        if (plus && entry.nodeid > 0) forget(fs, entry.nodeid, 1);
        cookie = entry.off;
      }
      // Those with an odd number go, in an order of their own; others come.
      nodefs.rmSync(join(directory, name(((round * 37) % 500) * 2 + 1)), { force: true });
      nodefs.writeFileSync(join(directory, name(made++)), "");
    }
    for (let i = 0; i < 1000; i += 2) expect([name(i), seen.get(name(i))]).toEqual([name(i), 1]);
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
    // A cookie that was given leads to the same place again, until the directory is read anew.
    const again = readdir(fs, ROOT, fh, 500, 500, false) as Dirent[];
    expect(readdir(fs, ROOT, fh, 500, 500, false)).toEqual(again);
    expect(again.length).toBeGreaterThan(5);
  },
);

test("shows the writes of one device through a second one on the same directory", () => {
  const other = new FsPuppet(directory);
  other.init();
  const { nodeid, fh } = create(fs, ROOT, "shared", O_RDWR, 0o644);
  write(fs, nodeid, fh, 0, "text");
  expect(getattr(other, lookup(other, ROOT, "shared").nodeid).size).toBe(4n);
  expect(open(other, lookup(other, ROOT, "shared").nodeid, O_RDWR)).toBe(-Errno.EROFS);
  other.device.dispose();
});

test("refuses a read-only Files port for a writable share", () => {
  const files = new SimulatedFiles(new Map());
  const make = () => new FsDevice({ directory, tag: "t", readOnly: false, files });
  expect(make).toThrow("these files can only be read");
});

test("W3: opens no device, stream or other file by a name on Windows", () => {
  const elsewhere = ["a\\b", "a:b", "NUL", "con", "Com1.txt", "lpt9 ", "aux .x", "..", ".. ", "x."];
  expect(elsewhere.filter(isWindowsName)).toEqual([]);
  const fine = ["console", "com", "nul1", "a.b", ".hidden", "com10", "x y"];
  expect(fine.filter(isWindowsName)).toEqual(fine);
});
