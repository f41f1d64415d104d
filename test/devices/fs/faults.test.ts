// virtio-fs device on a host whose file calls fail: each request is made again and again, the
// first, the second, the third ... call of the host failing, until none fails any more. Whatever
// happened, nothing is left behind that the guest does not know of.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { FuseOpcode, FuseStatfsOut } from "../../../abi/fuse.ts";
import { FuseSetattrValid as Valid } from "../../../abi/fuse-write.ts";
import { PathFiles } from "../../../host/node/files/path-files.ts";
import { ProcFiles } from "../../../host/node/files/proc-files.ts";
import type { FileChanges, Files } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import {
  batchForget,
  forget,
  getattr,
  lookup,
  open,
  ROOT,
  read,
  readArguments,
  readdir,
  release,
  words,
} from "../../support/fs-calls.ts";
import * as change from "../../support/fs-change-calls.ts";
import { counted, FaultyHost } from "../../support/fs-faulty-host.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";

const O_RDWR = 2;
const O_TRUNC = 0x200;
const MS = 1_000_000;

/** The guest's holdings after a request, beside the error. */
interface Got {
  error: number;
  nodes?: number[];
  handle?: { nodeid: number; fh: number };
  /** Did it give back what the preparation got? */
  gave?: boolean;
}

interface Scene {
  fs: FsPuppet;
  /** References and handles that the guest has, to be given back at the end. */
  nodes: number[];
  handles: { nodeid: number; fh: number; opcode: number }[];
  hello: number;
  sub: number;
}

interface Deed {
  prepare?: (scene: Scene) => void;
  run: (scene: Scene) => Got | Promise<Got>;
  /** May it have changed the directory although it failed? */
  partial?: boolean;
}

let directory: string;

beforeEach(() => {
  directory = makeFolder();
});
afterEach(removeFolders);

function populate(): void {
  nodefs.writeFileSync(join(directory, "hello"), "hello, world");
  nodefs.chmodSync(join(directory, "hello"), 0o6755);
  nodefs.mkdirSync(join(directory, "sub"));
  nodefs.writeFileSync(join(directory, "sub/one"), "1");
  nodefs.symlinkSync("target", join(directory, "link"));
}

/** All that is in the directory: names, inodes' kinds, contents. */
function tree(): string[] {
  const names = nodefs.readdirSync(directory, { recursive: true, encoding: "utf8" }).sort();
  return names.map((name) => {
    const stat = nodefs.lstatSync(join(directory, name));
    const text = stat.isFile() ? nodefs.readFileSync(join(directory, name), "latin1") : "";
    return `${name} ${stat.mode >> 12} ${stat.nlink} ${text}`;
  });
}

function opened(scene: Scene, nodeid: number, flags: number, opcode = FuseOpcode.OPEN): number {
  const fh = open(scene.fs, nodeid, flags, opcode);
  const ending = opcode === FuseOpcode.OPEN ? FuseOpcode.RELEASE : FuseOpcode.RELEASEDIR;
  scene.handles.push({ nodeid, fh, opcode: ending });
  return fh;
}

const onFile =
  (body: (scene: Scene, fh: number) => Got | Promise<Got>) =>
  (scene: Scene): Got | Promise<Got> =>
    body(scene, scene.handles[0]?.fh as number);
const openFile = (scene: Scene) => {
  opened(scene, scene.hello, O_RDWR);
};
const openRoot = (scene: Scene) => {
  opened(scene, ROOT, 0, FuseOpcode.OPENDIR);
};
/** The next requests find a host that has been slow. */
const slow = (scene: Scene) => {
  openFile(scene);
  scene.fs.device.notify(1);
  const { now } = { now: scene.fs.nowNs };
  let looked = 0;
  Object.defineProperty(scene.fs, "nowNs", {
    configurable: true,
    get: () => now + looked++ * 5 * MS,
  });
  getattr(scene.fs, ROOT);
  Object.defineProperty(scene.fs, "nowNs", { value: now + looked * 5 * MS, writable: true });
};
const node = ({ error, nodeid }: { error: number; nodeid: number }): Got =>
  error === 0 ? { error, nodes: [nodeid] } : { error };
const result = (error: number): Got => ({ error: Math.min(error, 0) });

const DEEDS: Record<string, Deed> = {
  LOOKUP: { run: ({ fs, sub }) => node(lookup(fs, sub, "one")) },
  "LOOKUP of a link": { run: ({ fs }) => node(lookup(fs, ROOT, "link")) },
  "LOOKUP of what is known": { run: ({ fs }) => node(lookup(fs, ROOT, "hello")) },
  "LOOKUP of .": { run: ({ fs, sub }) => node(lookup(fs, sub, ".")) },
  GETATTR: { run: ({ fs, hello }) => result(getattr(fs, hello).error) },
  STATFS: {
    run: ({ fs }) => {
      const { error, data } = fs.request(FuseOpcode.STATFS);
      expect(data).toHaveLength(error === 0 ? FuseStatfsOut.sizeof : 0);
      return { error };
    },
  },
  ACCESS: {
    run: ({ fs, hello }) =>
      result(fs.request(FuseOpcode.ACCESS, words(4, 0), { nodeid: hello }).error),
  },
  OPEN: { run: ({ fs, hello }) => handle(hello, open(fs, hello, O_RDWR)) },
  "OPEN that cuts": {
    run: ({ fs, hello }) => handle(hello, open(fs, hello, O_RDWR | O_TRUNC)),
    partial: true,
  },
  RELEASE: {
    prepare: openFile,
    run: onFile(({ fs, hello }, fh) => ({ error: release(fs, hello, fh), gave: true })),
  },
  "RELEASE of what is forgotten": {
    prepare: (scene) => {
      openFile(scene);
      forget(scene.fs, scene.hello, 1);
      scene.nodes.splice(0, 1);
    },
    run: onFile(({ fs, hello }, fh) => ({ error: release(fs, hello, fh), gave: true })),
  },
  FORGET: {
    prepare: (scene) => {
      scene.nodes.splice(0, 1);
    },
    run: ({ fs, hello }) => result(forget(fs, hello, 1).error),
  },
  BATCH_FORGET: {
    prepare: (scene) => {
      scene.nodes.splice(0, 2);
    },
    run: ({ fs, hello, sub }) => {
      const pairs: [number, bigint][] = [
        [hello, 1n],
        [sub, 1n],
      ];
      return result(batchForget(fs, pairs).error);
    },
  },
  READ: {
    prepare: openFile,
    run: onFile(({ fs, hello }, fh) => result(read(fs, hello, fh, 0, 12).error)),
  },
  "READ in pieces": {
    prepare: openFile,
    run: onFile(({ fs, hello }, fh) =>
      result(read(fs, hello, fh, 0, 12, { writable: [17, 3] }).error),
    ),
  },
  "READ of a slow host": {
    prepare: slow,
    run: onFile(async ({ fs, hello }, fh) => {
      const args = readArguments(fh, 0, 12);
      return result((await fs.requestLater(FuseOpcode.READ, args, { nodeid: hello })).error);
    }),
  },
  WRITE: {
    prepare: openFile,
    run: onFile(({ fs, hello }, fh) => result(change.write(fs, hello, fh, 0, "HELLO"))),
    partial: true,
  },
  "WRITE to a slow host": {
    prepare: slow,
    run: onFile(async ({ fs, hello }, fh) => {
      const args = Buffer.concat([new Uint8Array(40), Buffer.from("HELLO")]);
      args.writeBigUInt64LE(BigInt(fh), 0);
      args.writeUInt32LE(5, 16);
      const reply = await fs.requestLater(FuseOpcode.WRITE, args, { nodeid: hello });
      return result(reply.error);
    }),
    partial: true,
  },
  FSYNC: {
    prepare: openFile,
    run: onFile(async ({ fs, hello }, fh) => result((await change.fsync(fs, hello, fh, 0)).error)),
  },
  FSYNCDIR: {
    prepare: openRoot,
    run: onFile(async ({ fs }, fh) =>
      result((await change.fsync(fs, ROOT, fh, 0, FuseOpcode.FSYNCDIR)).error),
    ),
  },
  COPY_FILE_RANGE: {
    prepare: openFile,
    run: onFile(({ fs, hello }, fh) =>
      result(change.copyFileRange(fs, [hello, fh, 0], [hello, fh, 20], 5)),
    ),
    partial: true,
  },
  READDIR: {
    prepare: openRoot,
    run: onFile(({ fs }, fh) => listed(readdir(fs, ROOT, fh))),
  },
  READDIRPLUS: {
    prepare: openRoot,
    run: onFile(({ fs }, fh) => listed(readdir(fs, ROOT, fh, 0, 4096, true))),
  },
  CREATE: { run: ({ fs }) => created(change.create(fs, ROOT, "new", O_RDWR, 0o1666)) },
  "CREATE of what is there": {
    run: ({ fs, sub }) => created(change.create(fs, sub, "one", O_RDWR, 0o600)),
  },
  "CREATE that cuts": {
    run: ({ fs }) => created(change.create(fs, ROOT, "hello", O_RDWR | O_TRUNC, 0o600)),
    partial: true,
  },
  MKNOD: { run: ({ fs }) => node(change.mknod(fs, ROOT, "new", 0o100666)) },
  MKDIR: { run: ({ fs }) => node(change.mkdir(fs, ROOT, "new", 0o777)) },
  SYMLINK: { run: ({ fs }) => node(change.symlink(fs, ROOT, "new", "text")) },
  LINK: { run: ({ fs, hello, sub }) => node(change.link(fs, hello, sub, "new")) },
  UNLINK: { run: ({ fs, sub }) => result(change.remove(fs, sub, "one", FuseOpcode.UNLINK)) },
  RENAME: { run: ({ fs, sub }) => result(change.rename(fs, ROOT, "hello", sub, "new")) },
  "RENAME of a directory": {
    run: ({ fs }) => result(change.rename(fs, ROOT, "sub", ROOT, "new")),
  },
  "RENAME2 that replaces nothing": {
    run: ({ fs, sub }) => result(change.rename2(fs, ROOT, "hello", sub, "new", 1)),
  },
  "SETATTR of everything": {
    run: ({ fs, hello }) => {
      const all = [Valid.MODE, Valid.UID, Valid.GID, Valid.SIZE, Valid.MTIME];
      const valid = all.reduce((bits, one) => bits | (1 << one), 0);
      return result(change.setattr(fs, hello, { valid, size: 3n, mode: 0o640 }).error);
    },
    partial: true,
  },
  "INIT, which ends a session": {
    prepare: openFile,
    run: ({ fs }) => ({ error: fs.init().error, gave: true }),
  },
};

function handle(nodeid: number, fh: number): Got {
  return fh < 0 ? { error: fh } : { error: 0, handle: { nodeid, fh } };
}

function created({ error, nodeid, fh }: change.Made): Got {
  return error === 0 ? { error, nodes: [nodeid], handle: { nodeid, fh } } : { error };
}

function listed(entries: { nodeid: number }[] | number): Got {
  if (typeof entries === "number") return { error: entries };
  return { error: 0, nodes: entries.map(({ nodeid }) => nodeid).filter((one) => one > 0) };
}

/** Gives back what the guest has, then all that the device holds is the root. */
function giveBack(scene: Scene, got: Got): void {
  const { fs } = scene;
  const handles = got.gave ? [] : scene.handles;
  if (got.handle !== undefined) handles.push({ ...got.handle, opcode: FuseOpcode.RELEASE });
  for (const { nodeid, fh, opcode } of handles) expect(release(fs, nodeid, fh, opcode)).toBe(0);
  for (const nodeid of [...scene.nodes, ...(got.nodes ?? [])]) forget(fs, nodeid, 1);
}

describe.each<[string, () => Files & FileChanges]>([
  ["by descriptors", () => new ProcFiles()],
  ["by paths", () => new PathFiles()],
])("files %s", (_, make) => {
  test.each(Object.keys(DEEDS))(
    "G30, W15: %s leaves nothing behind, wherever it fails",
    async (name) => {
      const { prepare, run, partial = false } = DEEDS[name] as Deed;
      for (let failing = 1, failed = true; failed; failing++) {
        nodefs.rmSync(directory, { recursive: true });
        nodefs.mkdirSync(directory);
        populate();
        const mask = process.umask(0o077);
        const { files, held } = counted(make());
        const limits = { nodesMax: 100, handlesMax: 10, idleFilesMax: 0 };
        const fs = new FsPuppet(directory, { readOnly: false, files, limits });
        fs.init();
        const none = descriptorsIn(directory);
        const hello = lookup(fs, ROOT, "hello").nodeid;
        const sub = lookup(fs, ROOT, "sub").nodeid;
        getattr(fs, hello); // holds it
        const scene: Scene = { fs, nodes: [hello, sub], handles: [], hello, sub };
        prepare?.(scene);
        const before = { tree: tree(), held: held.size, descriptors: descriptorsIn(directory) };
        const host = new FaultyHost(failing);
        let got: Got;
        try {
          got = await run(scene);
        } finally {
          host.restore();
          process.umask(mask);
        }
        failed = host.failed !== null;
        const where = `${name}, call ${failing}: ${host.failed}`;
        if (got.error < 0) {
          const after = { tree: tree(), held: held.size, descriptors: descriptorsIn(directory) };
          if (partial) after.tree = before.tree;
          expect({ where, ...after }).toEqual({ where, ...before });
        }
        if (!failed) expect([where, got.error]).toEqual([where, 0]);
        if (name.startsWith("INIT")) scene.nodes = [];
        giveBack(scene, got);
        expect([where, held.size, descriptorsIn(directory)]).toEqual([where, 1, none]);
        expect([where, node(lookup(fs, ROOT, "link")).error]).toEqual([where, 0]);
        fs.device.dispose();
        expect([where, held.size]).toEqual([where, 0]);
      }
    },
  );
});
