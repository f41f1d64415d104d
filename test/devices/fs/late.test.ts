// virtio-fs device: calls that the host refuses at once or answers late, after the guest has let go
// of what they were for; what they hold has bounds.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { FuseSetattrValid as Valid } from "../../../abi/fuse-write.ts";
import type { DeviceTrace } from "../../../host/device.ts";
import { NodeTable } from "../../../host/devices/fs/nodes/node-table.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { PathFiles } from "../../../host/node/files/path-files.ts";
import type { FileChanges, Files } from "../../../host/ports/files.ts";
import type { EventKind } from "../../../host/trace/event.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import {
  batchForget,
  forget,
  getattr,
  lookup,
  open,
  opendir,
  ROOT,
  release,
  words,
} from "../../support/fs-calls.ts";
import * as change from "../../support/fs-change-calls.ts";
import { callsOf } from "../../support/fs-faulty-host.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";

const O_RDWR = 2;
let directory: string;
const at = (name: string) => join(directory, name);
const bytes = (text: string) => Buffer.from(text, "latin1");

beforeEach(() => {
  directory = makeFolder();
  nodefs.writeFileSync(at("file"), "file");
  nodefs.mkdirSync(at("dir"));
  nodefs.writeFileSync(at("dir/inside"), "inside");
});
afterEach(removeFolders);

/** A device whose syncs wait until they are let go. */
function withHeldSyncs() {
  const host = hostFiles();
  const held: (() => void)[] = [];
  const own: Partial<FileChanges> = {
    sync: (_descriptor, _dataOnly, done) => void held.push(() => done(null)),
    syncDirectory: (_inode, done) => void held.push(() => done(null)),
  };
  const files: Files & FileChanges = new Proxy(host, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
  const limits = { nodesMax: 50, handlesMax: 12, idleFilesMax: 0 };
  const fs = new FsPuppet(directory, { readOnly: false, files, limits });
  fs.init();
  return { fs, held };
}

describe("FSYNC", () => {
  test("W15: lets few wait for the disk at a time, and answers all", async () => {
    const { fs, held } = withHeldSyncs();
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    const replies = Array.from({ length: 12 }, () => change.fsync(fs, nodeid, fh, 0));
    expect(held).toHaveLength(8);
    for (let go = held.shift(); go !== undefined; go = held.shift()) go();
    expect((await Promise.all(replies)).map(({ error }) => error)).toEqual(Array(12).fill(0));
    fs.device.dispose();
  });

  test("G30: does not ask a disk that hangs again after a reset", () => {
    const { fs, held } = withHeldSyncs();
    const before = descriptorsIn(directory);
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    for (let i = 0; i < 12; i++) void change.fsync(fs, nodeid, fh, 0);
    for (const queue of fs.queues) queue.detach();
    fs.device.reset();
    const memory = Buffer.from(fs.memory.u8);
    for (let go = held.shift(), i = 0; go !== undefined; go = held.shift(), i++) {
      expect(i).toBeLessThan(8);
      go();
    }
    expect(descriptorsIn(directory)).toBe(before);
    expect(memory.equals(fs.memory.u8)).toBe(true);
  });

  test("W15: counts descriptors that only wait for the disk as open files", () => {
    const { fs } = withHeldSyncs();
    const { nodeid } = lookup(fs, ROOT, "file");
    const errors = Array.from({ length: 14 }, () => {
      const fh = open(fs, nodeid, O_RDWR);
      if (fh < 0) return fh;
      void change.fsync(fs, nodeid, fh, 0);
      return release(fs, nodeid, fh);
    });
    expect(errors).toEqual([...Array(12).fill(0), -Errno.EMFILE, -Errno.EMFILE]);
    fs.device.dispose();
  });

  test("syncs nothing for a directory that was forgotten before its turn", async () => {
    const { fs, held } = withHeldSyncs();
    const { nodeid } = lookup(fs, ROOT, "dir");
    const fh = opendir(fs, nodeid);
    const all = Array.from({ length: 9 }, () =>
      change.fsync(fs, nodeid, fh, 0, FuseOpcode.FSYNCDIR),
    );
    release(fs, nodeid, fh, FuseOpcode.RELEASEDIR);
    forget(fs, nodeid, 1);
    for (let go = held.shift(); go !== undefined; go = held.shift()) go();
    expect((await all[8])?.error).toBe(-Errno.EBADF);
    fs.device.dispose();
  });

  test("is traced as well", async () => {
    const names: string[] = [];
    const trace = {
      isOn: true,
      present: () => 0,
      now: () => 0,
      took: ({ name }: EventKind) => names.push(name),
    } as unknown as DeviceTrace;
    const fs = new FsPuppet(directory, { readOnly: false });
    const { memory } = fs;
    const now = () => 0;
    const after = () => () => {};
    const turn = () => {};
    fs.device.attach({ memory, turn, now, after, defer: setImmediate, log: () => {}, trace });
    fs.init();
    const { nodeid } = lookup(fs, ROOT, "file");
    void change.fsync(fs, nodeid, open(fs, nodeid, O_RDWR), 0);
    expect(names).toEqual(["INIT", "LOOKUP", "OPEN", "FSYNC"]);
    fs.device.dispose();
  });

  test("touches nothing when the answer comes after the machine's end", () => {
    const { fs, held } = withHeldSyncs();
    const { nodeid } = lookup(fs, ROOT, "file");
    void change.fsync(fs, nodeid, open(fs, nodeid, O_RDWR), 0);
    fs.device.dispose();
    fs.device.dispose(); // and the second time nothing
    const memory = Buffer.from(fs.memory.u8);
    for (const go of held) go();
    expect(memory.equals(fs.memory.u8)).toBe(true);
  });
});

test("W15: a forgotten node keeps no other alive", () => {
  const nodes = new NodeTable(hostFiles(), directory, 10, () => 0);
  const dir = nodes.lookup(nodes.root, bytes("dir"));
  if (typeof dir === "number") throw new Error("no directory");
  nodes.remove(dir);
  expect(dir.place).toBe(null);
  nodes.clear();
  nodes.remove(nodes.root);
});

test("W8: stops a BATCH_FORGET of the same memory over and over after a megabyte", () => {
  const fs = new FsPuppet(directory);
  fs.init();
  const { nodeid } = lookup(fs, ROOT, "file");
  const pairs = Array.from({ length: 65537 }, (): [number, bigint] => [9999, 1n]);
  pairs[65536] = [nodeid, 1n];
  batchForget(fs, pairs);
  expect(getattr(fs, nodeid).error).toBe(0);
  batchForget(fs, pairs.slice(1));
  expect(getattr(fs, nodeid).error).toBe(-Errno.EBADF);
  fs.device.dispose();
});

describe("U21", () => {
  test("clears set-id bits that the host set meanwhile at a WRITE a second later", () => {
    const fs = new FsPuppet(directory, { readOnly: false });
    fs.init();
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    change.write(fs, nodeid, fh, 0, "x");
    nodefs.chmodSync(at("file"), 0o6755);
    fs.nowNs += 1e9;
    change.write(fs, nodeid, fh, 0, "y");
    expect(nodefs.statSync(at("file")).mode & 0o7777).toBe(0o755);
    fs.device.dispose();
  });

  test.runIf(process.geteuid?.() === 0)("takes owners as 32 bits without a sign", () => {
    const fs = new FsPuppet(directory, { readOnly: false });
    fs.init();
    const { nodeid } = lookup(fs, ROOT, "file");
    const valid = 1 << Valid.UID;
    expect(change.setattr(fs, nodeid, { valid, uid: 0xfffffffe }).error).toBe(0);
    expect(nodefs.statSync(at("file")).uid).toBe(0xfffffffe);
    expect(change.setattr(fs, nodeid, { valid, uid: 0xffffffff }).error).toBe(0);
    fs.device.dispose();
  });
});

describe("files by paths", () => {
  let fs: FsPuppet;
  beforeEach(() => {
    fs = new FsPuppet(directory, { readOnly: false, files: new PathFiles() });
    fs.init();
  });
  afterEach(() => fs.device.dispose());

  test("W11: links no symbolic link, since some hosts would link its target", () => {
    const { nodeid } = change.symlink(fs, ROOT, "link", "/etc/passwd");
    const calls = callsOf("linkSync", () => {
      expect(change.link(fs, nodeid, ROOT, "second").error).toBe(-Errno.EPERM);
      expect(change.rename2(fs, ROOT, "link", ROOT, "moved", 1)).toBe(-Errno.EPERM);
    });
    expect(calls).toEqual([]);
  });

  test("W11: looks at nothing outside for ACCESS and STATFS of a symbolic link", () => {
    const { nodeid } = change.symlink(fs, ROOT, "link", "/nowhere/at/all");
    expect(fs.request(FuseOpcode.ACCESS, words(4, 0), { nodeid }).error).toBe(0);
    expect(fs.request(FuseOpcode.STATFS, new Uint8Array(0), { nodeid }).error).toBe(0);
  });

  test("W11: gives Node no reason to look at the target of SYMLINK", () => {
    const calls = callsOf("symlinkSync", () => change.symlink(fs, ROOT, "link", "//host/share"));
    expect(calls.map((args) => args[2])).toEqual(["file"]);
  });

  test("finds a directory's entries after RENAME of the directory", () => {
    const dir = lookup(fs, ROOT, "dir").nodeid;
    const { nodeid } = lookup(fs, dir, "inside");
    expect(change.rename(fs, ROOT, "dir", ROOT, "moved")).toBe(0);
    expect(getattr(fs, nodeid)).toMatchObject({ error: 0, size: 6n });
    expect(lookup(fs, dir, "inside").nodeid).toBe(nodeid);
  });

  test("gives a file of another kind that took a removed file's number another node", () => {
    const files = new PathFiles();
    const { inode, stat } = files.hold(files.root(directory), bytes("file"));
    nodefs.unlinkSync(at("file"));
    nodefs.mkdirSync(at("file"));
    const calls = callsOf("lstatSync", () => expect(() => files.stat(inode)).toThrow("ESTALE"));
    expect([calls.length, stat.mode >> 12n]).toEqual([1, 8n]);
  });
});
