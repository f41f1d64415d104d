// The directory is a wall: against programs of the host that swap what is in it, guests that name
// what is outside, and what is no file. And what the host refuses arrives as what it is.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode, FuseType } from "../../../abi/fuse.ts";
import { FuseSetattrValid } from "../../../abi/fuse-write.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { PathFiles } from "../../../host/node/files/path-files.ts";
import { ProcFiles } from "../../../host/node/files/proc-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import {
  forget,
  getattr,
  lookup,
  open,
  opendir,
  ROOT,
  read,
  readdir,
  release,
} from "../../support/fs-calls.ts";
import {
  create,
  link,
  mkdir,
  remove,
  rename,
  setattr,
  write,
} from "../../support/fs-change-calls.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";
import { onSmallDisk } from "../../support/outside-program.ts";

const O_RDWR = 2;
const SECRET = "nobody inside may read this";
let directory: string;
let outside: string;
let fs: FsPuppet;

beforeEach(() => {
  directory = makeFolder();
  outside = makeFolder();
  nodefs.writeFileSync(join(outside, "secret"), SECRET);
  nodefs.mkdirSync(join(directory, "dir"));
  nodefs.writeFileSync(join(directory, "dir/inside"), "inside");
  nodefs.writeFileSync(join(directory, "file"), "file");
  fs = new FsPuppet(directory, { readOnly: false });
  fs.init();
});

afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

/** One attempt on everything below a name that changes hands; what kinds of thing it met. */
function attack(round: number): { type: number; text: string } {
  const dir = lookup(fs, ROOT, "dir");
  if (dir.error === 0) {
    for (const name of ["secret", "inside", `new${round}`]) {
      const made = create(fs, dir.nodeid, name, O_RDWR, 0o600);
      if (made.error !== 0) continue;
      if (name !== "inside") write(fs, made.nodeid, made.fh, 0, `round ${round}`);
      release(fs, made.nodeid, made.fh);
      if (name !== "inside") remove(fs, dir.nodeid, name, FuseOpcode.UNLINK);
      forget(fs, made.nodeid, 1);
    }
    rename(fs, dir.nodeid, "inside", dir.nodeid, "moved");
    rename(fs, dir.nodeid, "moved", dir.nodeid, "inside");
    setattr(fs, dir.nodeid, { valid: 1 << FuseSetattrValid.MODE, mode: 0o755 });
    forget(fs, mkdir(fs, dir.nodeid, "made", 0o700).nodeid, 1);
    remove(fs, dir.nodeid, "made", FuseOpcode.RMDIR);
    forget(fs, dir.nodeid, 1);
  }
  const file = lookup(fs, ROOT, "file");
  const fh = file.error === 0 ? open(fs, file.nodeid, O_RDWR) : -1;
  const text = fh > 0 ? Buffer.from(read(fs, file.nodeid, fh, 0, 100).data).toString() : "";
  if (fh > 0) {
    write(fs, file.nodeid, fh, 0, "FILE");
    release(fs, file.nodeid, fh);
  }
  if (file.error === 0) forget(fs, file.nodeid, 1);
  return { type: file.mode >> 12, text };
}

test("W10: reads and changes nothing outside while directories and files are swapped for links", async () => {
  const { uid, gid } = nodefs.statSync(outside);
  const before = nodefs.statSync(join(outside, "secret"), { bigint: true });
  const swapper = spawn(process.execPath, ["test/support/swap-directory.mjs", directory, outside]);
  await once(swapper.stdout, "data");
  const met = new Set<number>();
  const texts = new Set<string>();
  for (let round = 0; round < 3000; round++) {
    const { type, text } = attack(round);
    met.add(type);
    texts.add(text);
  }
  swapper.stdin.end();
  const [swaps] = await once(swapper.stdout, "data");
  await once(swapper, "close");
  // It was a race: both kinds were met, and many times each was there.
  expect(Number(String(swaps))).toBeGreaterThan(100);
  expect(met).toContain(FuseType.REG);
  expect(met).toContain(FuseType.LNK);
  expect([...texts].filter((text) => !["", "file", "FILE"].includes(text))).toEqual([]);
  expect(nodefs.readdirSync(outside)).toEqual(["secret"]);
  expect(nodefs.readFileSync(join(outside, "secret"), "utf8")).toBe(SECRET);
  const after = nodefs.statSync(join(outside, "secret"), { bigint: true });
  expect([after.mtimeNs, after.mode, after.nlink]).toEqual([before.mtimeNs, before.mode, 1n]);
  expect(nodefs.statSync(outside)).toMatchObject({ uid, gid });
});

test("W11, W13: follows links to the outside in no operation", () => {
  nodefs.symlinkSync(outside, join(directory, "out"));
  nodefs.symlinkSync("../../../../../../etc", join(directory, "up"));
  for (const name of ["out", "up"]) {
    const { nodeid, mode } = lookup(fs, ROOT, name);
    expect(mode >> 12).toBe(FuseType.LNK);
    expect(opendir(fs, nodeid)).toBe(-Errno.ENOTDIR);
    expect(lookup(fs, nodeid, "secret").error).toBe(-Errno.ENOTDIR);
    expect(create(fs, nodeid, "x", O_RDWR, 0o600).error).toBe(-Errno.ENOTDIR);
    expect(mkdir(fs, nodeid, "x", 0o700).error).toBe(-Errno.ENOTDIR);
    expect(remove(fs, nodeid, "secret", FuseOpcode.UNLINK)).toBe(-Errno.ENOTDIR);
    expect(rename(fs, nodeid, "secret", ROOT, "mine")).toBe(-Errno.ENOTDIR);
    expect(rename(fs, ROOT, "file", nodeid, "theirs")).toBe(-Errno.ENOTDIR);
    const file = lookup(fs, ROOT, "file").nodeid;
    expect(link(fs, file, nodeid, "theirs").error).toBe(-Errno.ENOTDIR);
    expect(link(fs, nodeid, ROOT, `${name}2`).error).toBe(0); // of the link itself
  }
  expect(nodefs.readdirSync(outside)).toEqual(["secret"]);
  expect(nodefs.lstatSync(join(directory, "out2")).isSymbolicLink()).toBe(true);
});

describe("changes to the shared directory itself by the host", () => {
  const filesOf = { descriptors: () => new ProcFiles(), paths: () => new PathFiles() };
  test.each([
    ["descriptors", 0],
    ["paths", -Errno.ESTALE],
  ] as const)(
    "W10: a decoy where it was before what is above was renamed is not entered, by %s",
    (way, error) => {
      const above = makeFolder();
      nodefs.mkdirSync(join(above, "up/share"), { recursive: true });
      nodefs.writeFileSync(join(above, "up/share/file"), "real");
      const share = join(above, "up/share");
      const puppet = new FsPuppet(share, { readOnly: false, files: filesOf[way]() });
      puppet.init();
      const held = lookup(puppet, ROOT, "file").nodeid;
      expect(getattr(puppet, held).error).toBe(0); // which holds it
      nodefs.renameSync(join(above, "up"), join(above, "moved"));
      nodefs.mkdirSync(share, { recursive: true });
      nodefs.writeFileSync(join(share, "file"), SECRET);
      expect(lookup(puppet, ROOT, "file").error).toBe(error);
      expect(create(puppet, ROOT, "new", O_RDWR, 0o600).error).toBe(error);
      expect(remove(puppet, ROOT, "file", FuseOpcode.UNLINK)).toBe(error);
      expect(getattr(puppet, held).error).toBe(error);
      expect(nodefs.readdirSync(share)).toEqual(["file"]);
      expect(nodefs.readFileSync(join(share, "file"), "utf8")).toBe(SECRET);
      expect(nodefs.existsSync(join(above, "moved/share/new"))).toBe(way === "descriptors");
      puppet.device.dispose();
    },
  );

  test("keeps a directory open that is moved out of the share, and does not resolve its '..'", () => {
    const { nodeid } = lookup(fs, ROOT, "dir");
    nodefs.renameSync(join(directory, "dir"), join(outside, "dir"));
    expect(lookup(fs, ROOT, "dir").error).toBe(-Errno.ENOENT);
    expect(lookup(fs, nodeid, "inside").error).toBe(0);
    for (const name of ["..", "../secret"]) {
      expect(lookup(fs, nodeid, name).error).toBe(-Errno.EINVAL);
    }
    expect(lookup(fs, nodeid, "secret").error).toBe(-Errno.ENOENT);
  });

  test("serves a file that has a second name outside", () => {
    nodefs.linkSync(join(outside, "secret"), join(directory, "shared"));
    const { nodeid } = lookup(fs, ROOT, "shared");
    expect(write(fs, nodeid, open(fs, nodeid, O_RDWR), 0, "known")).toBe(5);
    expect(nodefs.readFileSync(join(outside, "secret"), "utf8").slice(0, 5)).toBe("known");
  });
});

describe("special files", () => {
  const makeFifo = (name: string) => spawnSync("mkfifo", [join(directory, name)]).status === 0;

  test("U9, W12: shows a FIFO but never opens it, which would wait for its other end", () => {
    expect(makeFifo("fifo")).toBe(true);
    const { nodeid, mode } = lookup(fs, ROOT, "fifo");
    expect(mode >> 12).toBe(FuseType.FIFO);
    for (const flags of [0, 1, 2, 0x400, 0x200]) {
      expect(open(fs, nodeid, flags)).toBe(-Errno.EACCES);
    }
    expect(create(fs, ROOT, "fifo", O_RDWR, 0o600).error).toBe(-Errno.EACCES);
    const size = { valid: 1 << FuseSetattrValid.SIZE, size: 0n };
    expect(setattr(fs, nodeid, size).error).toBe(-Errno.EINVAL);
    expect(rename(fs, ROOT, "fifo", ROOT, "pipe")).toBe(0);
    expect(remove(fs, ROOT, "pipe", FuseOpcode.UNLINK)).toBe(0);
  });
});

describe("faults of the host", () => {
  const isRoot = process.geteuid?.() === 0;

  /** Runs as a user with no rights, which only root has to pretend. */
  function unprivileged(body: () => void): void {
    if (isRoot) {
      process.setegid?.(65534);
      process.seteuid?.(65534);
    }
    try {
      body();
    } finally {
      if (isRoot) {
        process.seteuid?.(0);
        process.setegid?.(0);
      }
    }
  }

  test("passes EACCES and EPERM on where this process lacks permission", () => {
    nodefs.chmodSync(directory, 0o755);
    nodefs.chmodSync(join(directory, "dir"), isRoot ? 0o755 : 0o555);
    nodefs.writeFileSync(join(directory, "private"), SECRET);
    nodefs.chmodSync(join(directory, "private"), isRoot ? 0o600 : 0o000);
    unprivileged(() => {
      const { nodeid } = lookup(fs, ROOT, "private");
      expect(open(fs, nodeid)).toBe(-Errno.EACCES);
      expect(open(fs, nodeid, O_RDWR)).toBe(-Errno.EACCES);
      const dir = lookup(fs, ROOT, "dir").nodeid;
      expect(create(fs, dir, "x", O_RDWR, 0o600).error).toBe(-Errno.EACCES);
      expect(mkdir(fs, dir, "x", 0o700).error).toBe(-Errno.EACCES);
      expect(remove(fs, dir, "inside", FuseOpcode.UNLINK)).toBe(-Errno.EACCES);
      expect(rename(fs, dir, "inside", dir, "x")).toBe(-Errno.EACCES);
      const owner = { valid: 1 << FuseSetattrValid.UID, uid: isRoot ? 65534 : 0 };
      expect(setattr(fs, nodeid, owner).error).toBe(-Errno.EPERM);
    });
    expect(nodefs.readFileSync(join(outside, "secret"), "utf8")).toBe(SECRET);
  });

  test.each([
    ["ENOSPC", Errno.ENOSPC],
    ["EDQUOT", Errno.EDQUOT],
    ["EIO", Errno.EIO],
    ["EMFILE", Errno.EMFILE],
    ["EFBIG", Errno.EFBIG],
    ["EROFS", Errno.EROFS],
    ["ETXTBSY", Errno.ETXTBSY],
    ["EMLINK", Errno.EMLINK],
    ["ESOMETHING", Errno.EIO],
  ])("U25: passes %s of a file call on, and leaks nothing", (code, number) => {
    const failing = ["create", "write", "read", "link", "rename", "makeDirectory"];
    const files = new Proxy(hostFiles(), {
      get(target, key) {
        const call = Reflect.get(target, key);
        if (!failing.includes(String(key))) return call.bind(target);
        return () => {
          throw Object.assign(new Error(code), { code });
        };
      },
    });
    const puppet = new FsPuppet(directory, { readOnly: false, files });
    puppet.init();
    const { nodeid } = lookup(puppet, ROOT, "file");
    const fh = open(puppet, nodeid, O_RDWR);
    expect(write(puppet, nodeid, fh, 0, "x")).toBe(-number);
    expect(read(puppet, nodeid, fh, 0, 1).error).toBe(-number);
    expect(create(puppet, ROOT, "new", O_RDWR, 0o600).error).toBe(-number);
    expect(link(puppet, nodeid, ROOT, "new").error).toBe(-number);
    expect(rename(puppet, ROOT, "file", ROOT, "new")).toBe(-number);
    expect(mkdir(puppet, ROOT, "new", 0o700).error).toBe(-number);
    expect(getattr(puppet, nodeid).size).toBe(4n);
    expect(nodefs.readdirSync(directory).sort()).toEqual(["dir", "file"]);
    puppet.device.dispose();
  });

  onSmallDisk(
    65536,
    "ENOSPC: what fits is written, what does not is not, and room comes back",
    (disk) => {
      const puppet = new FsPuppet(disk, { readOnly: false });
      puppet.init();
      const { nodeid, fh } = create(puppet, ROOT, "full", O_RDWR, 0o600);
      const block = "x".repeat(4096);
      let written = 0;
      for (let got = 4096; got > 0; written += Math.max(got, 0)) {
        got = write(puppet, nodeid, fh, written, block);
        if (got < 0) expect(got).toBe(-Errno.ENOSPC);
      }
      expect(getattr(puppet, nodeid).size).toBe(BigInt(written));
      expect(written).toBeGreaterThan(4096);
      expect(setattr(puppet, nodeid, { valid: 1 << FuseSetattrValid.SIZE, size: 0n }).error).toBe(
        0,
      );
      expect(write(puppet, nodeid, fh, 0, block)).toBe(4096);
      puppet.device.dispose();
    },
  );
});

test.each([
  ["descriptors", new ProcFiles()],
  ["paths", new PathFiles()],
])("W15: does not read a directory of millions to its end, by %s", (_, files) => {
  for (let i = 0; i < 5000; i++) nodefs.writeFileSync(join(directory, "dir", `f${i}`), "");
  const root = files.root(join(directory, "dir"));
  const readSync = vi.spyOn(nodefs.Dir.prototype, "readSync");
  expect(() => files.list(root, 10)).toThrow(expect.objectContaining({ code: "ENOMEM" }));
  expect(readSync).toHaveBeenCalledTimes(11);
  readSync.mockRestore();
  expect(files.list(root, 5001)).toHaveLength(5001);
});

test("W15: holds no more descriptors than its limit, whatever the guest opens", () => {
  for (let i = 0; i < 100; i++) nodefs.writeFileSync(join(directory, `f${i}`), "");
  const before = descriptorsIn(directory);
  const puppet = new FsPuppet(directory, { readOnly: false, descriptorsMax: 64 });
  puppet.init();
  const found = [];
  for (let i = 0; i < 100; i++) found.push(lookup(puppet, ROOT, `f${i}`));
  expect(found.filter((one) => one.error === 0)).toHaveLength(31); // and the root
  for (const { nodeid } of found) if (nodeid !== 0) open(puppet, nodeid, O_RDWR);
  expect(descriptorsIn(directory) - before).toBeGreaterThan(30);
  expect(descriptorsIn(directory) - before).toBeLessThanOrEqual(64);
  puppet.device.dispose();
  expect(descriptorsIn(directory)).toBe(before);
});

test("W15: returns to its descriptors and memory after floods of names, handles and files", () => {
  for (let i = 0; i < 300; i++) nodefs.writeFileSync(join(directory, `f${i}`), "");
  const puppet = new FsPuppet(directory, {
    readOnly: false,
    limits: { nodesMax: 100, handlesMax: 50, idleFilesMax: 10 },
  });
  puppet.init();
  const before = descriptorsIn(directory);
  const found = [];
  for (let i = 0; i < 300; i++) found.push(lookup(puppet, ROOT, `f${i}`));
  expect(found.filter((one) => one.error === 0)).toHaveLength(99);
  expect(found.at(-1)?.error).toBe(-Errno.ENFILE);
  const handles = found.map(({ nodeid }) => (nodeid === 0 ? -1 : open(puppet, nodeid, O_RDWR)));
  expect(handles.filter((fh) => fh > 0)).toHaveLength(50);
  expect(handles).toContain(-Errno.EMFILE);
  expect(descriptorsIn(directory) - before).toBeLessThanOrEqual(99 + 50);
  found.forEach(({ nodeid }, i) => {
    const fh = handles[i] as number;
    if (fh > 0) release(puppet, nodeid, fh);
    if (nodeid > 0) forget(puppet, nodeid, 1);
  });
  expect(descriptorsIn(directory)).toBe(before);
  expect((readdir(puppet, ROOT, opendir(puppet, ROOT)) as unknown[]).length).toBeGreaterThan(10);
  puppet.device.dispose();
});
