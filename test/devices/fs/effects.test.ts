// virtio-fs device: what a request changes is what it says, and one that fails changes nothing.
// Programs of the host are in between: they have made, moved or appended to what is asked for.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { FuseSetattrValid as Valid } from "../../../abi/fuse-write.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { FileChanges, Files } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { isStoredTime } from "../../support/file-times.ts";
import { forget, lookup, open, ROOT, read } from "../../support/fs-calls.ts";
import * as change from "../../support/fs-change-calls.ts";
import { FsPuppet, WINDOW_AT } from "../../support/fs-puppet.ts";

const O_RDONLY = 0;
const O_RDWR = 2;
const O_EXCL = 0x80;
const O_TRUNC = 0x200;
const O_APPEND = 0x400;
const MIB = 1 << 20;

let directory = "";
let fs: FsPuppet;
const at = (name: string) => join(directory, name);
const content = (name: string) => nodefs.readFileSync(at(name), "latin1");

/** A device over `directory`; calls of the host named in `own` are that one's. */
function start(own: Partial<Files & FileChanges> = {}, windowBytes = 0): FsPuppet {
  const files = new Proxy(hostFiles(), {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
  fs = new FsPuppet(directory, { readOnly: false, files, windowBytes });
  fs.init();
  return fs;
}

beforeEach(() => {
  directory = makeFolder();
  nodefs.writeFileSync(at("file"), "contents");
});
afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

describe("CREATE", () => {
  const names = (name: Uint8Array) => Buffer.from(name).toString();

  /** Before the host makes a file, `race` comes. */
  function racing(race: (name: string) => void) {
    const host = hostFiles();
    return start({
      create: (directory, name, flags, mode) => {
        race(names(name));
        return host.create(directory, name, flags, mode);
      },
    });
  }

  test("opens a file that the host has made a moment before", () => {
    racing((name) => nodefs.writeFileSync(at(name), "theirs"));
    const { error, nodeid, fh } = change.create(fs, ROOT, "new", O_RDWR, 0o644);
    expect(error).toBe(0);
    expect(Buffer.from(read(fs, nodeid, fh, 0, 10).data).toString()).toBe("theirs");
    forget(fs, nodeid, 1);
  });

  test("fails with EEXIST on O_EXCL, and empties it on O_TRUNC", () => {
    racing((name) => nodefs.writeFileSync(at(name), "theirs"));
    expect(change.create(fs, ROOT, "one", O_RDWR | O_EXCL, 0o644).error).toBe(-Errno.EEXIST);
    expect(change.create(fs, ROOT, "two", O_RDWR | O_TRUNC, 0o644).error).toBe(0);
    expect(content("two")).toBe("");
  });

  test("makes the file when it is gone again by then", () => {
    const host = hostFiles();
    let there = 3;
    start({
      create: (directory, name, flags, mode) => {
        if (there > 0) nodefs.writeFileSync(at(names(name)), "theirs");
        return host.create(directory, name, flags, mode);
      },
      peek: (directory, name) => {
        if (names(name) === "new" && there-- > 0) nodefs.rmSync(at("new"), { force: true });
        return host.peek(directory, name);
      },
    });
    expect(change.create(fs, ROOT, "new", O_RDWR, 0o644).error).toBe(0);
    expect(content("new")).toBe("");
  });

  test("refuses a name that has become a symbolic link, and does not follow it", () => {
    racing((name) => nodefs.symlinkSync("file", at(name)));
    expect(change.create(fs, ROOT, "new", O_RDWR | O_TRUNC, 0o644).error).toBe(-Errno.ELOOP);
    expect(content("file")).toBe("contents");
  });

  test("MKDIR removes the directory if its lookup fails", () => {
    const host = hostFiles();
    start({
      peek: (directory, name) => (names(name) === "dir" ? null : host.peek(directory, name)),
    });
    expect(change.mkdir(fs, ROOT, "dir", 0o755).error).toBe(-Errno.ENOENT);
    expect(nodefs.existsSync(at("dir"))).toBe(false);
  });
});

describe("LINK by node", () => {
  test("uses another name of the file if the last one has gone", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    for (const name of ["b", "c"]) {
      nodefs.linkSync(at("file"), at(name));
      expect(lookup(fs, ROOT, name).nodeid).toBe(nodeid);
    }
    nodefs.unlinkSync(at("c"));
    nodefs.unlinkSync(at("b"));
    expect(change.link(fs, nodeid, ROOT, "new").error).toBe(0);
    expect(content("new")).toBe("contents");
  });

  test("does not use a name that has become another file's", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    nodefs.linkSync(at("file"), at("b"));
    lookup(fs, ROOT, "b");
    for (const name of ["b", "file"]) nodefs.rmSync(at(name));
    nodefs.writeFileSync(at("file"), "another");
    nodefs.mkdirSync(at("b"));
    expect(change.link(fs, nodeid, ROOT, "new").error).toBe(-Errno.ENOENT);
    expect(nodefs.existsSync(at("new"))).toBe(false);
  });

  test("is refused for a file without names", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    nodefs.unlinkSync(at("file"));
    expect(change.link(fs, nodeid, ROOT, "new").error).toBe(-Errno.ENOENT);
  });
});

describe("COPY_FILE_RANGE", () => {
  /** A file of 4 MiB, each of its megabytes another one. */
  function large() {
    nodefs.writeFileSync(at("large"), Buffer.concat([1, 2, 3, 4].map((i) => Buffer.alloc(MIB, i))));
    start();
    const { nodeid } = lookup(fs, ROOT, "large");
    return { nodeid, fh: open(fs, nodeid, O_RDWR) };
  }

  test("refuses ranges that overlap after what one request moves", () => {
    const { nodeid, fh } = large();
    const before = nodefs.readFileSync(at("large"));
    const copy = (from: number, to: number, length: number) =>
      change.copyFileRange(fs, [nodeid, fh, from], [nodeid, fh, to], length);
    expect(copy(0, MIB, 2 * MIB)).toBe(-Errno.EINVAL);
    expect(copy(MIB + 1, 0, 2 * MIB)).toBe(-Errno.EINVAL);
    expect(copy(2 * MIB, 3 * MIB, 2 ** 40)).toBe(-Errno.EINVAL);
    expect(nodefs.readFileSync(at("large")).equals(before)).toBe(true);
  });

  test("asks for no more than there is: after the end nothing overlaps", () => {
    const { nodeid, fh } = large();
    const copied = change.copyFileRange(fs, [nodeid, fh, 3 * MIB], [nodeid, fh, 4 * MIB], 2 * MIB);
    expect(copied).toBe(MIB);
    expect(change.copyFileRange(fs, [nodeid, fh, 9 * MIB], [nodeid, fh, 9 * MIB], 1)).toBe(0);
    const copy = nodefs.readFileSync(at("large")).subarray(4 * MIB);
    expect(copy.equals(Buffer.alloc(MIB, 4))).toBe(true);
  });

  test("refuses a handle that appends or may not write", () => {
    const { nodeid, fh } = large();
    for (const flags of [O_RDWR | O_APPEND, O_RDONLY]) {
      const to = open(fs, nodeid, flags);
      const copied = change.copyFileRange(fs, [nodeid, fh, 0], [nodeid, to, 2 * MIB], 1);
      expect(copied).toBe(-Errno.EBADF);
    }
    expect(nodefs.statSync(at("large")).size).toBe(4 * MIB);
  });
});

describe("WRITE with O_APPEND", () => {
  test("shows all appended bytes in a mapping", () => {
    start({}, 4 * 65536);
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR | O_APPEND);
    const mapping = new BigUint64Array([BigInt(open(fs, nodeid)), 0n, 65536n, 2n, 0n]);
    const args = new Uint8Array(mapping.buffer);
    expect(fs.request(FuseOpcode.SETUPMAPPING, args, { nodeid }).error).toBe(0);
    nodefs.appendFileSync(at("file"), "+theirs");
    expect(change.write(fs, nodeid, fh, 0, "+ours")).toBe(5);
    const shown = Buffer.from(fs.memory.bytes(WINDOW_AT, 22)).toString("latin1");
    expect(shown).toBe("contents+theirs+ours\0\0");
  });

  test("appends also if the guest's offset is impossible", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR | O_APPEND);
    expect(change.write(fs, nodeid, fh, 2n ** 64n - 1n, "!")).toBe(1);
    expect(content("file")).toBe("contents!");
  });
});

describe("clears no set-id bits when a call fails", () => {
  const mode = () => nodefs.statSync(at("file")).mode & 0o7777;
  const refuse = () => {
    throw Object.assign(new Error("refused"), { code: "EPERM" });
  };
  const sized = { valid: 1 << Valid.SIZE, size: 3n };
  const owned = { valid: 1 << Valid.UID, uid: 1 };
  test.each<[string, keyof FileChanges, (nodeid: number, fh: number) => number]>([
    ["WRITE", "write", (nodeid, fh) => change.write(fs, nodeid, fh, 0, "x")],
    ["OPEN with O_TRUNC", "resize", (nodeid) => open(fs, nodeid, O_RDWR | O_TRUNC)],
    ["CREATE with O_TRUNC", "resize", () => change.create(fs, ROOT, "file", O_TRUNC, 0).error],
    ["SETATTR of a size", "resize", (nodeid) => change.setattr(fs, nodeid, sized).error],
    ["SETATTR of an owner", "chown", (nodeid) => change.setattr(fs, nodeid, owned).error],
    [
      "COPY_FILE_RANGE",
      "write",
      (nodeid, fh) => change.copyFileRange(fs, [nodeid, fh, 0], [nodeid, fh, 100], 1),
    ],
  ])("%s", (_, call, body) => {
    nodefs.chmodSync(at("file"), 0o6755);
    start({ [call]: refuse, keepsSetId: () => true });
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    expect(body(nodeid, fh)).toBe(-Errno.EPERM);
    expect(mode()).toBe(0o6755);
  });

  test("clears set-id bits only when the handle's call succeeds", () => {
    nodefs.chmodSync(at("file"), 0o6755);
    start({ keepsSetId: () => true });
    const { nodeid } = lookup(fs, ROOT, "file");
    const reading = open(fs, nodeid);
    expect(change.write(fs, nodeid, reading, 0, "x")).toBe(-Errno.EBADF);
    const cut = { valid: (1 << Valid.SIZE) | (1 << Valid.FH), size: 3n, fh: reading };
    expect(change.setattr(fs, nodeid, cut).error).toBe(-Errno.EINVAL);
    expect(mode()).toBe(0o6755);
    expect(change.write(fs, nodeid, open(fs, nodeid, O_RDWR), 0, "x")).toBe(1);
    expect(mode()).toBe(0o755);
  });

  test("leaves size and mode alone when the owner is refused", () => {
    start({ chown: refuse });
    const { nodeid } = lookup(fs, ROOT, "file");
    const valid = (1 << Valid.UID) | (1 << Valid.SIZE) | (1 << Valid.MODE);
    const before = mode();
    expect(change.setattr(fs, nodeid, { valid, uid: 1, size: 0n, mode: 0 }).error).toBe(
      -Errno.EPERM,
    );
    expect([content("file"), mode()]).toEqual(["contents", before]);
  });
});

describe("times", () => {
  const now = (...names: Valid[]) => names.reduce((bits: number, name) => bits | (1 << name), 0);

  test("sets a current time that is not before earlier writes", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    const valid = now(Valid.MTIME, Valid.MTIME_NOW, Valid.ATIME, Valid.ATIME_NOW);
    for (let i = 0; i < 200; i++) {
      nodefs.writeFileSync(at("file"), String(i));
      nodefs.writeFileSync(at("before"), "");
      const { mtimeNs: written } = nodefs.statSync(at("before"), { bigint: true });
      expect(change.setattr(fs, nodeid, { valid }).error).toBe(0);
      const { mtimeNs, atimeNs } = nodefs.statSync(at("file"), { bigint: true });
      expect(mtimeNs).toBeGreaterThanOrEqual(written - (written % 1000n));
      expect(atimeNs).toBe(mtimeNs);
    }
  });

  test("sets the current time on a file with a time in the future", () => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    nodefs.utimesSync(at("file"), 5e9, 5e9);
    change.setattr(fs, nodeid, { valid: now(Valid.MTIME, Valid.MTIME_NOW) });
    const { mtimeMs, atimeMs } = nodefs.statSync(at("file"));
    expect([mtimeMs < 5e12, atimeMs]).toEqual([true, 5e12]);
  });

  test.each([
    [-1n, 999_999_000],
    [1_700_000_000n, 123_456_000],
    [8_589_934_591n, 999_999_000],
    // A double does not tell each of the microseconds from 2242 on: this is one that it does.
    [8_600_000_000n, 123_456_000],
    [9_000_000_000n, 500_000_000],
  ])("keeps %d s and %d ns", (seconds, ns) => {
    start();
    const { nodeid } = lookup(fs, ROOT, "file");
    const valid = now(Valid.MTIME, Valid.ATIME);
    change.setattr(fs, nodeid, { valid, mtime: [seconds, ns], atime: [seconds, ns] });
    const { mtimeNs, atimeNs } = nodefs.statSync(at("file"), { bigint: true });
    const expected = seconds * 1_000_000_000n + BigInt(ns);
    expect([mtimeNs, atimeNs].map((one) => isStoredTime(one, expected))).toEqual([true, true]);
  });
});
