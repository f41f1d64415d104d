// virtio-fs device against a guest that breaks every rule, and a host directory full of traps: the
// answer is an error or an empty chain, and the next honest request is served.
import { execFileSync } from "node:child_process";
import * as nodefs from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { PathFiles } from "../../../host/node/files/path-files.ts";
import { ProcFiles } from "../../../host/node/files/proc-files.ts";
import type { Files } from "../../../host/ports/files.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
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
import { FsPuppet, HIPRIO } from "../../support/fs-puppet.ts";

let outside: string;
let directory: string;
let fs: FsPuppet;

beforeEach(() => {
  outside = nodefs.mkdtempSync(join(tmpdir(), "torito-fs-"));
  directory = join(outside, "share");
  nodefs.mkdirSync(join(directory, "sub"), { recursive: true });
  nodefs.writeFileSync(join(outside, "page"), "secret");
  nodefs.writeFileSync(join(directory, "hello"), "hello, world");
  nodefs.writeFileSync(join(directory, "sub", "page"), "public");
  fs = new FsPuppet(directory);
  fs.init();
});

afterEach(() => {
  expect(getattr(fs, ROOT).error).toBe(0); // whatever happened, the device still serves
  fs.device.dispose();
  nodefs.rmSync(outside, { recursive: true });
});

describe("requests", () => {
  test("W1: refuses a header length that is not the chain's, or less than a header", () => {
    for (const length of [0, 39, 40, 55, 57, 0xffffffff]) {
      const reply = fs.request(FuseOpcode.GETATTR, new Uint8Array(16), { length });
      expect([reply.used, reply.error]).toEqual([16, -Errno.EINVAL]);
      expect(reply.unique).toBe(fs.unique);
    }
    for (const bytes of [1, 8, 39]) expect(fs.raw(new Uint8Array(bytes)).used).toBe(0);
    expect(forget(fs, ROOT, 1).used).toBe(0);
  });

  test("W2: refuses truncated arguments of every operation", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const least = new Map([
      [FuseOpcode.LOOKUP, 2],
      [FuseOpcode.GETATTR, 16],
      [FuseOpcode.OPEN, 8],
      [FuseOpcode.READ, 40],
      [FuseOpcode.RELEASE, 24],
      [FuseOpcode.FLUSH, 24],
      [FuseOpcode.INIT, 16],
      [FuseOpcode.OPENDIR, 8],
      [FuseOpcode.READDIR, 40],
      [FuseOpcode.READDIRPLUS, 40],
      [FuseOpcode.RELEASEDIR, 24],
      [FuseOpcode.ACCESS, 8],
      [FuseOpcode.LSEEK, 24],
    ]);
    for (const [opcode, bytes] of least) {
      for (const cut of [0, bytes - 1]) {
        const reply = fs.request(opcode, new Uint8Array(cut), { nodeid });
        expect([opcode, reply.error]).toEqual([opcode, -Errno.EINVAL]);
      }
    }
    for (const opcode of [FuseOpcode.FORGET, FuseOpcode.BATCH_FORGET]) {
      const reply = fs.request(opcode, new Uint8Array(7), { nodeid, queue: HIPRIO });
      expect(reply.used).toBe(0);
    }
    expect(getattr(fs, nodeid).error).toBe(0);
  });

  test("W3: refuses names without NUL, empty, with '/', with a NUL inside or too long", () => {
    const sub = lookup(fs, ROOT, "sub").nodeid;
    const bad = (args: Uint8Array, nodeid = ROOT) =>
      fs.request(FuseOpcode.LOOKUP, args, { nodeid }).error;
    expect(bad(Buffer.from("hello"))).toBe(-Errno.EINVAL);
    expect(bad(named(""))).toBe(-Errno.EINVAL);
    expect(bad(Buffer.from("\0\0"))).toBe(-Errno.EINVAL);
    for (const name of ["/", "sub/page", "../page", "/etc/passwd", "a\0b"]) {
      expect(bad(named(name))).toBe(-Errno.EINVAL);
    }
    expect(bad(named(".."), sub)).toBe(-Errno.EINVAL);
    expect(bad(named("n".repeat(255)))).toBe(-Errno.ENOENT);
    expect(bad(named("n".repeat(256)))).toBe(-Errno.ENAMETOOLONG);
    expect(bad(new Uint8Array(100_000).fill(0x6e))).toBe(-Errno.ENAMETOOLONG);
  });

  test.runIf(process.platform === "linux")("W3: keeps a name that is not UTF-8", () => {
    const name = Buffer.from([0x66, 0xff, 0xfe, 0x80]);
    nodefs.writeFileSync(Buffer.concat([Buffer.from(`${directory}/`), name]), "bytes");
    const listed = readdir(fs, ROOT, opendir(fs, ROOT)) as Dirent[];
    const entry = listed.find((dirent) => dirent.name[0] === 0x66);
    expect(entry?.name).toEqual(name);
    expect(lookup(fs, ROOT, name).size).toBe(5n);
  });

  test("W4: refuses node ids that do not exist or are of the wrong kind", () => {
    for (const nodeid of [0, 2, 12345, 2 ** 32 + 1, 2n ** 53n + 1n, 2n ** 64n - 1n]) {
      expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
    }
    const { nodeid } = lookup(fs, ROOT, "hello");
    expect(lookup(fs, nodeid, "x").error).toBe(-Errno.ENOTDIR);
    expect(lookup(fs, nodeid, "..").error).toBe(-Errno.ENOTDIR);
  });

  test("W5: refuses handles that do not exist, are closed or belong to another inode", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const sub = lookup(fs, ROOT, "sub").nodeid;
    const page = lookup(fs, sub, "page").nodeid;
    const fh = open(fs, nodeid);
    const dir = opendir(fs, sub);
    expect(read(fs, page, fh, 0, 4).error).toBe(-Errno.EBADF);
    expect(read(fs, nodeid, fh + 2 ** 32, 0, 4).error).toBe(-Errno.EBADF);
    expect(readdir(fs, nodeid, fh)).toBe(-Errno.EBADF);
    expect(readdir(fs, ROOT, dir)).toBe(-Errno.EBADF);
    expect(release(fs, sub, dir)).toBe(-Errno.EBADF);
    expect(release(fs, nodeid, fh)).toBe(0);
    expect(read(fs, nodeid, fh, 0, 4).error).toBe(-Errno.EBADF);
  });

  test("W6: leaves no trace of a reply that does not fit, and returns a chain under 16 bytes empty", () => {
    for (const room of [0, 1, 15]) {
      expect(fs.request(FuseOpcode.GETATTR, new Uint8Array(16), { room }).used).toBe(0);
    }
    const short = fs.request(FuseOpcode.LOOKUP, named("hello"), { room: 16 + 127 });
    expect([short.used, short.error]).toEqual([16, -Errno.EINVAL]);
    const { nodeid } = lookup(fs, ROOT, "hello");
    forget(fs, nodeid, 1);
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
    const again = lookup(fs, ROOT, "hello").nodeid;
    const reply = read(fs, again, open(fs, again), 0, 12, { room: 16 + 11 });
    expect([reply.used, reply.error]).toEqual([16, -Errno.EINVAL]);
  });

  test("W7: refuses sizes and offsets at the end of their range, or returns nothing", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    const room = 16 + (1 << 20) + 1;
    expect(read(fs, nodeid, fh, 0, 0xffffffff, { room }).error).toBe(-Errno.EINVAL);
    expect(read(fs, nodeid, fh, 0, (1 << 20) + 1, { room }).error).toBe(-Errno.EINVAL);
    expect(read(fs, nodeid, fh, 0, 1 << 20, { room }).data.length).toBe(12);
    for (const offset of [2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(read(fs, nodeid, fh, offset, 16).error).toBe(-Errno.EINVAL);
    }
    expect(read(fs, nodeid, fh, 2n ** 63n - 17n, 16).data.length).toBe(0);
  });

  test("W8: survives forgetting more than was taken, or the root", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    forget(fs, nodeid, 2n ** 64n - 1n);
    expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
    forget(fs, nodeid, 1);
    forget(fs, ROOT, 2n ** 64n - 1n);
    const again = lookup(fs, ROOT, "hello").nodeid;
    batchForget(
      fs,
      [
        [999, 5n],
        [ROOT, 9n],
      ],
      0xffffffff,
    );
    expect(getattr(fs, again).error).toBe(0);
    batchForget(
      fs,
      [
        [again, 1n],
        [again, 1n],
      ],
      1000,
    );
    expect(getattr(fs, again).error).toBe(-Errno.EBADF);
  });

  test("W8: keeps an open file the same until RELEASE after it was forgotten", () => {
    const sub = lookup(fs, ROOT, "sub").nodeid;
    const fh = opendir(fs, sub);
    forget(fs, sub, 100);
    for (let i = 0; i < 8; i++) lookup(fs, ROOT, "hello"); // would take over a freed descriptor
    const listed = readdir(fs, sub, fh) as Dirent[];
    expect(listed.map(({ name }) => name.toString())).toContain("page");
    expect(lookup(fs, ROOT, "sub").nodeid).toBe(sub);
  });

  test("W9: refuses requests before INIT, and INIT on hiprio", () => {
    const fresh = new FsPuppet(directory);
    expect(lookup(fresh, ROOT, "hello").error).toBe(-Errno.EIO);
    const args = words(7, 38, 0, 0);
    expect(fresh.request(FuseOpcode.INIT, args, { queue: HIPRIO }).error).toBe(-Errno.EINVAL);
    expect(lookup(fresh, ROOT, "hello").error).toBe(-Errno.EIO);
    expect(fresh.init(7, 0).error).toBe(-Errno.EPROTO);
    expect(fresh.init(0, 0).error).toBe(-Errno.EPROTO);
    fresh.device.dispose();
  });

  test("W15: answers a flood of LOOKUP and OPEN with ENFILE and EMFILE, and recovers", () => {
    for (let i = 0; i < 20; i++) nodefs.writeFileSync(join(directory, `file-${i}`), "");
    const small = new FsPuppet(directory, { limits: { nodesMax: 10, handlesMax: 5 } });
    small.init();
    const found = Array.from({ length: 20 }, (_, i) => lookup(small, ROOT, `file-${i}`));
    expect(found.map(({ error }) => error)).toEqual([
      ...Array(9).fill(0),
      ...Array(11).fill(-Errno.ENFILE),
    ]);
    const nodeid = found[0]?.nodeid ?? 0;
    const handles = Array.from({ length: 6 }, () => open(small, nodeid));
    expect(handles[5]).toBe(-Errno.EMFILE);
    const dirents = () => readdir(small, ROOT, handles[0] ?? 0, 0, 4096, true);
    expect(release(small, nodeid, handles[1] ?? 0)).toBe(0);
    const dir = opendir(small, ROOT);
    expect(dirents()).toBe(-Errno.EBADF);
    const plus = readdir(small, ROOT, dir, 0, 4096, true) as Dirent[];
    expect(plus).toHaveLength(24);
    expect(plus.filter((dirent) => dirent.nodeid !== 0)).toHaveLength(9);
    forget(small, nodeid, 1000);
    for (const fh of handles.slice(2, 5)) release(small, nodeid, fh);
    release(small, nodeid, handles[0] ?? 0);
    expect(lookup(small, ROOT, "file-19").error).toBe(0);
    small.device.dispose();
  });

  test("W15: fails the request, not the device, when the host is out of descriptors", () => {
    const full = Object.assign(new Error("full"), { code: "EMFILE" });
    const files: Files = hostFiles();
    const poor = new FsPuppet(directory, { files });
    poor.init();
    const { nodeid } = lookup(poor, ROOT, "hello");
    expect(getattr(poor, nodeid).size).toBe(12n);
    files.open = files.hold = () => {
      throw full;
    };
    expect(open(poor, nodeid)).toBe(-Errno.EMFILE);
    expect(lookup(poor, ROOT, "sub").error).toBe(-Errno.EMFILE);
    expect(getattr(poor, nodeid).size).toBe(12n);
    poor.device.dispose();
  });

  test("W19: answers a buffer without room for an entry, and a cookie it never gave", () => {
    const fh = opendir(fs, ROOT);
    expect(readdir(fs, ROOT, fh, 0, 0)).toBe(-Errno.EINVAL);
    expect(readdir(fs, ROOT, fh, 0, 31)).toBe(-Errno.EINVAL);
    expect(readdir(fs, ROOT, fh, 0, 32)).toHaveLength(1);
    for (const cookie of [5, 1000, 2n ** 63n, 2n ** 64n - 1n]) {
      expect(readdir(fs, ROOT, fh, cookie)).toEqual([]);
    }
    const args = readArguments(fh, 0, 8192);
    expect(fs.request(FuseOpcode.READDIR, args).error).toBe(-Errno.EINVAL);
  });
});

describe.runIf(process.platform === "linux")("a directory full of traps", () => {
  test("W10: does not leave the share by a directory swapped for a symbolic link", () => {
    const sub = lookup(fs, ROOT, "sub").nodeid;
    nodefs.renameSync(join(directory, "sub"), join(directory, "moved"));
    nodefs.symlinkSync(outside, join(directory, "sub"));
    const { nodeid } = lookup(fs, sub, "page");
    const text = read(fs, nodeid, open(fs, nodeid), 0, 100).data;
    expect(Buffer.from(text).toString()).toBe("public");
    expect(lookup(fs, lookup(fs, ROOT, "sub").nodeid, "page").error).toBe(-Errno.ENOTDIR);
  });

  test("W10: does not follow a name that is swapped between lookup and open", () => {
    const files = new ProcFiles();
    const racy = new FsPuppet(directory, { files });
    racy.init();
    const openAt = files.openAt.bind(files);
    const { nodeid } = lookup(racy, ROOT, "hello");
    files.openAt = (parent, name) => {
      files.openAt = openAt;
      nodefs.rmSync(join(directory, "hello"));
      nodefs.symlinkSync("../page", join(directory, "hello"));
      return openAt(parent, name);
    };
    expect(open(racy, nodeid)).toBe(-Errno.ESTALE);
    const again = lookup(racy, ROOT, "hello");
    expect(again.mode >> 12).toBe(10);
    expect(open(racy, again.nodeid)).toBe(-Errno.ELOOP);
    racy.device.dispose();
  });

  test("W10: knows nothing of the file when its name is swapped for a link after LOOKUP", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    nodefs.rmSync(join(directory, "hello"));
    nodefs.symlinkSync("../page", join(directory, "hello"));
    expect(open(fs, nodeid)).toBe(-Errno.ESTALE);
    expect(getattr(fs, nodeid).error).toBe(-Errno.ESTALE);
  });

  test("W10: keeps an open file whose name is swapped for a link", () => {
    const { nodeid } = lookup(fs, ROOT, "hello");
    const fh = open(fs, nodeid);
    nodefs.rmSync(join(directory, "hello"));
    nodefs.symlinkSync("../page", join(directory, "hello"));
    expect(Buffer.from(read(fs, nodeid, fh, 0, 100).data).toString()).toBe("hello, world");
    expect(getattr(fs, nodeid)).toMatchObject({ error: 0, size: 12n });
  });

  test("W10: is not deceived by an inode of another kind between look-up and open", () => {
    for (const put of ["mkfifo", "mkdir"]) {
      const files = new ProcFiles();
      const racy = new FsPuppet(directory, { files });
      racy.init();
      nodefs.rmSync(join(directory, "hello"), { force: true, recursive: true });
      nodefs.writeFileSync(join(directory, "hello"), "");
      const { nodeid } = lookup(racy, ROOT, "hello");
      const openAt = files.openAt.bind(files);
      const before = descriptorsIn(directory);
      files.openAt = (parent, name) => {
        nodefs.rmSync(join(directory, "hello"));
        execFileSync(put, [join(directory, "hello")]);
        return openAt(parent, name);
      };
      expect([put, open(racy, nodeid)]).toEqual([put, -Errno.ESTALE]);
      expect([put, descriptorsIn(directory)]).toEqual([put, before]);
      racy.device.dispose();
    }
  });

  test("W10: opens by name only what it has seen a moment ago", () => {
    const files = new ProcFiles();
    const seen = new FsPuppet(directory, { files });
    seen.init();
    let opens = 0;
    const openAt = files.openAt.bind(files);
    files.openAt = (...args) => {
      opens++;
      return openAt(...args);
    };
    const { nodeid } = lookup(seen, ROOT, "hello");
    seen.nowNs += 11e6;
    const fh = open(seen, nodeid) as number;
    expect([opens, fh > 0]).toEqual([0, true]);
    seen.device.dispose();
  });

  test("W11: never follows symbolic links, wherever they point", () => {
    for (const target of ["/etc", "..", "../page", "sub/page", "loop"]) {
      nodefs.rmSync(join(directory, "loop"), { force: true });
      nodefs.symlinkSync(target, join(directory, "loop"));
      const { nodeid } = lookup(fs, ROOT, "loop");
      expect(lookup(fs, nodeid, "page").error).toBe(-Errno.ENOTDIR);
      expect(open(fs, nodeid)).toBe(-Errno.ELOOP);
      expect(opendir(fs, nodeid)).toBe(-Errno.ENOTDIR);
      const { data } = fs.request(FuseOpcode.READLINK, undefined, { nodeid });
      expect(Buffer.from(data).toString()).toBe(target);
      forget(fs, nodeid, 1);
    }
  });

  test("W12: shows a FIFO and a socket but never opens them", async () => {
    execFileSync("mkfifo", [join(directory, "fifo")]);
    const server = createServer();
    await new Promise<void>((done) => server.listen(join(directory, "socket"), done));
    for (const [name, type] of [
      ["fifo", 1],
      ["socket", 12],
    ] as const) {
      const { nodeid, mode } = lookup(fs, ROOT, name);
      expect(mode >> 12).toBe(type);
      expect(open(fs, nodeid)).toBe(-Errno.EACCES);
    }
    await new Promise((done) => server.close(done));
  });
});

describe("files by path, for hosts without /proc", () => {
  let other: FsPuppet;
  beforeEach(() => {
    other = new FsPuppet(directory, { files: new PathFiles() });
    other.init();
  });
  afterEach(() => other.device.dispose());

  test("look up, read and list the same", () => {
    const sub = lookup(other, ROOT, "sub").nodeid;
    const { nodeid } = lookup(other, sub, "page");
    expect(Buffer.from(read(other, nodeid, open(other, nodeid), 0, 99).data).toString()).toBe(
      "public",
    );
    const names = readdir(other, ROOT, opendir(other, ROOT), 0, 4096, true) as Dirent[];
    expect(names.map(({ name }) => name.toString()).sort()).toEqual([".", "..", "hello", "sub"]);
    expect(lookup(other, ROOT, "absent").error).toBe(-Errno.ENOENT);
  });

  test("W10: notice a directory swapped for a symbolic link", () => {
    const sub = lookup(other, ROOT, "sub").nodeid;
    nodefs.renameSync(join(directory, "sub"), join(directory, "moved"));
    nodefs.symlinkSync(outside, join(directory, "sub"));
    expect(lookup(other, sub, "page").error).toBe(-Errno.ESTALE);
    expect(open(other, lookup(other, ROOT, "sub").nodeid)).toBe(-Errno.ELOOP);
  });

  test("find a moved file under its new name", () => {
    const { nodeid } = lookup(other, ROOT, "hello");
    nodefs.renameSync(join(directory, "hello"), join(directory, "renamed"));
    expect(getattr(other, nodeid).error).toBe(-Errno.ENOENT);
    expect(lookup(other, ROOT, "renamed").nodeid).toBe(nodeid);
    expect(getattr(other, nodeid).size).toBe(12n);
  });
});
