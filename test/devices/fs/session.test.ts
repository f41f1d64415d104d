// virtio-fs device: its configuration, the session, and reading a directory of the host.
import { execFileSync } from "node:child_process";
import * as nodefs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseAttr, FuseAttrOut, FuseEntryOut, FuseInitOut, FuseOpcode } from "../../../abi/fuse.ts";
import { FsDevice } from "../../../host/node/devices.ts";
import {
  batchForget,
  type Dirent,
  forget,
  getattr,
  lookup,
  named,
  open,
  opendir,
  ROOT,
  read,
  readArguments,
  readdir,
  release,
  words,
} from "../../support/fs-calls.ts";
import { callsOf, FaultyHost } from "../../support/fs-faulty-host.ts";
import { FsPuppet, HIPRIO } from "../../support/fs-puppet.ts";

let directory: string;
let fs: FsPuppet;

beforeEach(() => {
  directory = nodefs.mkdtempSync(join(tmpdir(), "torito-fs-"));
  nodefs.writeFileSync(join(directory, "hello"), "hello, world");
  nodefs.mkdirSync(join(directory, "sub"));
  nodefs.writeFileSync(join(directory, "sub", "page"), "x".repeat(10000));
  fs = new FsPuppet(directory);
  fs.init();
});

afterEach(() => {
  fs.device.dispose();
  nodefs.rmSync(directory, { recursive: true });
});

describe("configuration", () => {
  test("F2, F3: pads the tag with NUL, and has four request queues, or as many as requested", () => {
    const { config } = fs.device;
    expect(Buffer.from(config.subarray(0, 36)).toString()).toBe(`site${"\0".repeat(32)}`);
    expect(new DataView(config.buffer).getUint32(36, true)).toBe(4);
    expect(fs.device.queueSizesMax).toHaveLength(5);
    const two = new FsDevice({ directory, tag: "t", requestQueues: 2 });
    expect(new DataView(two.config.buffer).getUint32(36, true)).toBe(2);
    expect(two.queueNames).toEqual(["hiprio", "request 0", "request 1"]);
    two.dispose();
    for (const requestQueues of [0, 65, Number.NaN]) {
      expect(() => new FsDevice({ directory, tag: "t", requestQueues })).toThrow("request queues");
    }
    expect(fs.device.id).toBe(26);
    expect(fs.device.features).toBe(0n);
  });

  test("accepts a tag of 36 bytes without NUL; refuses 37 bytes, none, and a NUL inside", () => {
    const make = (tag: string) => new FsDevice({ directory, tag, readOnly: true });
    const full = make("é".repeat(18));
    expect(full.config.subarray(0, 36).includes(0)).toBe(false);
    full.dispose();
    for (const tag of ["x".repeat(37), "", "a\0b"]) expect(() => make(tag)).toThrow("fs: tag");
  });

  test("refuses a missing directory, or a file, and names the path", () => {
    for (const path of [join(directory, "absent"), join(directory, "hello")]) {
      const make = () => new FsDevice({ directory: path, tag: "t", readOnly: true });
      expect(make).toThrow(path);
    }
  });
});

describe("session", () => {
  test("U1, U14: answers INIT with the smaller minor version and only requested features", () => {
    const { view, data } = fs.init(7, 31, 1 << 22);
    expect(data.length).toBe(64);
    expect(view.getUint32(FuseInitOut.major, true)).toBe(7);
    expect(view.getUint32(FuseInitOut.minor, true)).toBe(31);
    expect(view.getUint32(FuseInitOut.flags, true)).toBe(1 << 22);
    expect(view.getUint32(FuseInitOut.max_write, true)).toBe(1 << 20);
    expect(view.getUint16(FuseInitOut.max_pages, true)).toBe(256);
    expect(fs.init(7, 99).view.getUint32(FuseInitOut.minor, true)).toBe(38);
  });

  test("U1: answers a later major version with its own, and the driver must ask again", () => {
    const { view } = fs.init(8, 0);
    expect(view.getUint32(FuseInitOut.major, true)).toBe(7);
    expect(getattr(fs, ROOT).error).toBe(-Errno.EIO);
    fs.init(7, 38);
    expect(getattr(fs, ROOT).error).toBe(0);
  });

  test("U1: refuses an older major, or a minor before 27", () => {
    expect(fs.init(6, 40).error).toBe(-Errno.EPROTO);
    expect(fs.init(7, 26).error).toBe(-Errno.EPROTO);
  });

  test("refuses a big-endian INIT", () => {
    expect(fs.request(436207616, new Uint8Array(64)).error).toBe(-Errno.EPROTO);
  });

  test("F5: a second INIT voids node ids and handles", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    fs.init();
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
    const again = lookup(fs, ROOT, "hello").nodeid;
    expect(again).not.toBe(nodeid);
    expect(read(fs, again, fh, 0, 10).error).toBe(-Errno.EBADF);
  });

  test("U2: fails requests after DESTROY or a reset until the next INIT", () => {
    expect(fs.request(FuseOpcode.DESTROY).error).toBe(0);
    expect(lookup(fs, ROOT, "hello").error).toBe(-Errno.EIO);
    fs.init();
    expect(lookup(fs, ROOT, "hello").error).toBe(0);
    fs.device.reset();
    fs.device.notify(1);
    fs.device.activate(fs.queues);
    expect(lookup(fs, ROOT, "hello").error).toBe(-Errno.EIO);
  });

  test("U3: answers ENOSYS to unknown operations, and EROFS to changes", () => {
    for (const opcode of [0, 7, 19, 99, FuseOpcode.GETXATTR, FuseOpcode.STATX, 0xffffffff]) {
      expect(fs.request(opcode).error).toBe(-Errno.ENOSYS);
    }
    const changing = [FuseOpcode.WRITE, FuseOpcode.CREATE, FuseOpcode.UNLINK, FuseOpcode.RENAME2];
    for (const opcode of changing) {
      expect(fs.request(opcode, new Uint8Array(9000)).error).toBe(-Errno.EROFS);
    }
  });

  test("states a reply's exact length twice, and echoes the request's number", () => {
    const reply = fs.request(FuseOpcode.GETATTR, new Uint8Array(16));
    expect(reply.used).toBe(16 + 104);
    expect(reply.length).toBe(reply.used);
    expect(reply.unique).toBe(fs.unique);
    const failed = fs.request(FuseOpcode.LOOKUP, named("absent"));
    expect([failed.used, failed.length, failed.error]).toEqual([16, 16, -Errno.ENOENT]);
    expect(failed.unique).toBe(fs.unique);
  });

  test("S2: accepts headers that are split anywhere", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    const shape = { readable: [1, 20, 30], writable: [3, 15, 1, 2], room: 64 };
    const reply = read(fs, nodeid, fh, 0, 48, shape);
    expect(reply.used).toBe(16 + 12);
    expect(Buffer.from(reply.data).toString()).toBe("hello, world");
  });
});

describe("nodes", () => {
  test("U16: LOOKUP returns attributes exact to the nanosecond, valid for a second", () => {
    const stat = nodefs.statSync(join(directory, "hello"), { bigint: true });
    const { view, data } = fs.request(FuseOpcode.LOOKUP, named("hello"));
    expect(data.length).toBe(128);
    expect(view.getBigUint64(FuseEntryOut.entry_valid, true)).toBe(1n);
    expect(view.getBigUint64(FuseEntryOut.attr_valid, true)).toBe(1n);
    const at = FuseEntryOut.attr;
    expect(view.getBigUint64(at + FuseAttr.ino, true)).toBe(stat.ino);
    expect(view.getBigUint64(at + FuseAttr.size, true)).toBe(12n);
    const seconds = view.getBigUint64(at + FuseAttr.mtime, true);
    const rest = BigInt(view.getUint32(at + FuseAttr.mtimensec, true));
    expect(seconds * 1_000_000_000n + rest).toBe(stat.mtimeNs);
  });

  test("keeps sign and fraction of times before 1970", () => {
    nodefs.utimesSync(join(directory, "hello"), new Date(-1500), new Date(-1500));
    const { view } = fs.request(FuseOpcode.LOOKUP, named("hello"));
    const at = FuseEntryOut.attr;
    expect(view.getBigInt64(at + FuseAttr.mtime, true)).toBe(-2n);
    expect(view.getUint32(at + FuseAttr.mtimensec, true)).toBe(500_000_000);
  });

  test("U16: takes the time-out of attributes as an option; 0 makes the guest ask every time", () => {
    const other = new FsPuppet(directory, { attrTimeoutMs: 1250 });
    other.init();
    const { view } = other.request(FuseOpcode.GETATTR, new Uint8Array(16));
    expect(view.getBigUint64(FuseAttrOut.attr_valid, true)).toBe(1n);
    expect(view.getUint32(FuseAttrOut.attr_valid_nsec, true)).toBe(250_000_000);
    other.device.dispose();
  });

  test("gives the same inode the same node, also through a hard link", () => {
    nodefs.linkSync(join(directory, "hello"), join(directory, "sub", "link"));
    const first = lookup(fs, ROOT, "hello");
    const sub = lookup(fs, ROOT, "sub");
    expect(lookup(fs, ROOT, "hello").nodeid).toBe(first.nodeid);
    expect(lookup(fs, sub.nodeid, "link").nodeid).toBe(first.nodeid);
    forget(fs, first.nodeid, 2);
    expect(getattr(fs, first.nodeid).size).toBe(12n);
    forget(fs, first.nodeid, 1);
    expect(getattr(fs, first.nodeid).error).toBe(-Errno.EBADF);
  });

  test("shows a change on the host (fault 31)", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    nodefs.appendFileSync(join(directory, "hello"), "!");
    expect(getattr(fs, nodeid).size).toBe(13n);
    nodefs.rmSync(join(directory, "hello"));
    expect(lookup(fs, ROOT, "hello").error).toBe(-Errno.ENOENT);
    expect(getattr(fs, nodeid).size).toBe(13n);
  });

  test("U4: returns FORGET and BATCH_FORGET with nothing written", () => {
    const a = lookup(fs, ROOT, "hello").nodeid;
    const b = lookup(fs, ROOT, "sub").nodeid;
    expect(forget(fs, a, 1).used).toBe(0);
    expect(batchForget(fs, [[b, 1n]]).used).toBe(0);
    expect(getattr(fs, a).error).toBe(-Errno.EBADF);
    expect(getattr(fs, b).error).toBe(-Errno.EBADF);
  });

  test("takes a batch of a thousand whole", () => {
    const pairs: [number, bigint][] = [];
    for (let i = 0; i < 1000; i++) pairs.push([lookup(fs, ROOT, "hello").nodeid, 1n]);
    const nodeid = pairs[0]?.[0] ?? 0;
    batchForget(fs, pairs.slice(1));
    expect(getattr(fs, nodeid).error).toBe(0);
    batchForget(fs, pairs.slice(0, 1));
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
  });

  test("U8: resolves '..' of the root to the root, with a reference like any other", () => {
    expect(lookup(fs, ROOT, "..").nodeid).toBe(ROOT);
    const sub = lookup(fs, ROOT, "sub").nodeid;
    expect(lookup(fs, sub, ".").nodeid).toBe(sub);
    forget(fs, sub, 1);
    expect(getattr(fs, sub).error).toBe(0);
  });

  test("answers STATFS, ACCESS and READLINK", () => {
    nodefs.symlinkSync("../target", join(directory, "link"));
    const link = lookup(fs, ROOT, "link").nodeid;
    const text = fs.request(FuseOpcode.READLINK, undefined, { nodeid: link }).data;
    expect(Buffer.from(text).toString()).toBe("../target");
    expect(fs.request(FuseOpcode.READLINK).error).toBe(-Errno.EINVAL);
    const statfs = fs.request(FuseOpcode.STATFS);
    expect(statfs.data.length).toBe(80);
    expect(statfs.view.getUint32(44, true)).toBe(255);
    expect(fs.request(FuseOpcode.ACCESS, words(4, 0)).error).toBe(0);
    expect(fs.request(FuseOpcode.ACCESS, words(2, 0)).error).toBe(-Errno.EROFS);
    expect(fs.request(FuseOpcode.ACCESS, words(8, 0)).error).toBe(-Errno.EINVAL);
  });
});

describe("files", () => {
  test("U12: READ returns the requested bytes, fewer at the end and none beyond it", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    const text = (offset: number, size: number) =>
      Buffer.from(read(fs, nodeid, fh, offset, size).data).toString();
    expect([text(0, 5), text(7, 100), text(12, 10), text(1000, 1), text(0, 0)]).toEqual([
      "hello",
      "world",
      "",
      "",
      "",
    ]);
  });

  test("takes offsets beyond 2^53 exactly: they are past the end", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    for (const offset of [2n ** 32n, 2n ** 53n + 1n, 2n ** 62n]) {
      const reply = read(fs, nodeid, fh, offset, 8, { writable: [20] });
      expect([reply.error, reply.data.length]).toEqual([0, 0]);
    }
  });

  test("keeps a file readable after it was unlinked and forgotten, until RELEASE", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    nodefs.rmSync(join(directory, "hello"));
    forget(fs, nodeid, 1);
    expect(read(fs, nodeid, fh, 0, 5).data.length).toBe(5);
    expect(fs.request(FuseOpcode.FLUSH, readArguments(fh, 0, 0), { nodeid }).error).toBe(0);
    expect(release(fs, nodeid, fh)).toBe(0);
    expect(release(fs, nodeid, fh)).toBe(-Errno.EBADF);
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
  });

  test("allows only reading: other access modes and O_TRUNC get EROFS", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    for (const flags of [1, 2, 0x200]) expect(open(fs, nodeid, flags)).toBe(-Errno.EROFS);
  });

  test("refuses OPEN of a directory, OPENDIR of a file and READ of a directory", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    expect(open(fs, ROOT)).toBe(-Errno.EISDIR);
    expect(opendir(fs, nodeid)).toBe(-Errno.ENOTDIR);
    expect(read(fs, ROOT, opendir(fs, ROOT), 0, 16).error).toBe(-Errno.EISDIR);
  });

  test("LSEEK finds data and the end of the file, but no holes", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    const seek = (offset: number, whence: number) => {
      const args = readArguments(fh, offset, whence).subarray(0, 24);
      const reply = fs.request(FuseOpcode.LSEEK, args, { nodeid });
      return reply.error === 0 ? Number(reply.view.getBigUint64(0, true)) : reply.error;
    };
    expect([seek(3, 3), seek(3, 4), seek(12, 3), seek(0, 0)]).toEqual([
      3,
      12,
      -Errno.ENXIO,
      -Errno.EINVAL,
    ]);
  });
});

describe("directories", () => {
  test("READDIR lists every entry with its type, dots included, and inode numbers that are known", () => {
    const entries = readdir(fs, ROOT, opendir(fs, ROOT)) as Dirent[];
    const names = entries.map(({ name, type }) => `${name}:${type}`).sort();
    expect(names).toEqual(["..:4", ".:4", "hello:8", "sub:4"]);
    const inoOf = (wanted: string) => entries.find(({ name }) => name.toString() === wanted)?.ino;
    expect(inoOf(".")).toBe(nodefs.statSync(directory, { bigint: true }).ino);
    expect(inoOf("hello")).toBe(0xffffffffn); // FUSE_UNKNOWN_INO
  });

  test("a file that was just looked up is opened by two calls of the host, and held by none", () => {
    const host = new FaultyHost(Number.POSITIVE_INFINITY);
    const { nodeid } = lookup(fs, ROOT, "hello");
    expect(host.calls).toBe(1);
    const fh = open(fs, nodeid);
    expect(host.calls).toBe(3);
    release(fs, nodeid, fh);
    host.restore();
    expect(host.calls).toBe(3);
    expect(getattr(fs, nodeid)).toMatchObject({ error: 0, size: 12n });
  });

  test("READDIR asks the host once for all entries, but for those whose type it does not say", () => {
    nodefs.symlinkSync("hello", join(directory, "link"));
    execFileSync("mkfifo", [join(directory, "fifo")]);
    const fh = opendir(fs, ROOT);
    let entries: Dirent[] = [];
    const asked = callsOf("lstatSync", () => {
      entries = readdir(fs, ROOT, fh) as Dirent[];
    });
    expect(asked.map(([path]) => `${path}`.replace(/.*\//, ""))).toEqual(["fifo"]);
    const names = entries.map(({ name, type }) => `${name}:${type}`).sort();
    expect(names).toEqual(["..:4", ".:4", "fifo:1", "hello:8", "link:10", "sub:4"]);
  });

  test("U15: continues by cookie where a small buffer ended, across an unlink", () => {
    for (let i = 0; i < 20; i++) nodefs.writeFileSync(join(directory, `file-${i}`), "");
    const fh = opendir(fs, ROOT);
    const seen: string[] = [];
    for (let cookie = 0; ; ) {
      const entries = readdir(fs, ROOT, fh, cookie, 100);
      if (typeof entries === "number") throw new Error(`READDIR: ${entries}`);
      if (entries.length === 0) break;
      seen.push(...entries.map(({ name }) => name.toString()));
      cookie = entries.at(-1)?.off ?? 0;
      nodefs.rmSync(join(directory, "file-0"), { force: true });
    }
    expect(new Set(seen).size).toBe(seen.length);
    for (let i = 1; i < 20; i++) expect(seen).toContain(`file-${i}`);
    const again = readdir(fs, ROOT, fh) as Dirent[];
    expect(again.map(({ name }) => name.toString())).not.toContain("file-0");
  });

  test("U5, U15: READDIRPLUS takes a reference on each entry but the dots", () => {
    const fh = opendir(fs, ROOT);
    const entries = readdir(fs, ROOT, fh, 0, 4096, true) as Dirent[];
    for (const { name, nodeid } of entries) {
      if (name[0] === 0x2e) expect(nodeid).toBe(0);
      else expect(getattr(fs, nodeid).error).toBe(0);
    }
    const hello = entries.find(({ name }) => name.toString() === "hello")?.nodeid ?? 0;
    expect(lookup(fs, ROOT, "hello").nodeid).toBe(hello);
    forget(fs, hello, 2);
    expect(getattr(fs, hello).error).toBe(-Errno.EBADF);
    expect(release(fs, ROOT, fh, FuseOpcode.RELEASEDIR)).toBe(0);
  });

  test("U15: takes no reference on an entry that READDIRPLUS had no room for", () => {
    const fh = opendir(fs, ROOT);
    const room = 2 * 160 + 160; // the dots and one entry
    const entries = readdir(fs, ROOT, fh, 0, room, true) as Dirent[];
    expect(entries).toHaveLength(3);
    const other = entries[2]?.name.toString() === "hello" ? "sub" : "hello";
    const { nodeid } = lookup(fs, ROOT, other);
    forget(fs, nodeid, 1);
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
  });
});

test("F7: hiprio answers INTERRUPT with an empty chain and refuses all but the three", () => {
  const interrupt = fs.request(FuseOpcode.INTERRUPT, new Uint8Array(8), { queue: HIPRIO });
  expect(interrupt.used).toBe(0);
  const refused = fs.request(FuseOpcode.GETATTR, new Uint8Array(16), { queue: HIPRIO });
  expect([refused.used, refused.error]).toEqual([16, -Errno.EINVAL]);
});
