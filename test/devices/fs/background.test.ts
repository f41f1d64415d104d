// virtio-fs device on a host that is slow: what takes long is left to the thread pool, and everyone
// else goes on.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { FuseWriteIn } from "../../../abi/fuse-write.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import {
  getattr,
  lookup,
  open,
  ROOT,
  read,
  readArguments,
  release,
} from "../../support/fs-calls.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";

const MS = 1_000_000;
const O_RDWR = 2;

/** The host's files, with a clock that stands still but for the calls that a test makes slow. */
class SlowHost {
  readonly directory = makeFolder();
  /** Of each synchronous read. */
  readMs = 0;
  /** Of each one in the thread pool. */
  laterMs = 0;
  later = 0;
  /** Calls that the thread pool has not answered yet. */
  readonly waiting: (() => void)[] = [];
  held = false;
  readonly puppet: FsPuppet;

  constructor() {
    nodefs.writeFileSync(join(this.directory, "file"), "contents");
    const host = hostFiles();
    const own = {
      read: (...args: Parameters<typeof host.read>) => {
        this.puppet.nowNs += this.readMs * MS;
        return host.read(...args);
      },
      readLater: (...[descriptor, view, offset, done]: Parameters<typeof host.readLater>) => {
        this.later++;
        this.puppet.nowNs += this.laterMs * MS;
        const begin = () => host.readLater(descriptor, view, offset, done);
        if (this.held) this.waiting.push(begin);
        else begin();
      },
    };
    const files = new Proxy(host, {
      get(target, key) {
        return Reflect.get(own, key) ?? Reflect.get(target, key).bind(target);
      },
    });
    this.puppet = new FsPuppet(this.directory, { readOnly: false, files });
    this.puppet.init();
  }

  open(): { nodeid: number; fh: number } {
    const { nodeid } = lookup(this.puppet, ROOT, "file");
    return { nodeid, fh: open(this.puppet, nodeid, O_RDWR) };
  }

  readLater(nodeid: number, fh: number, offset = 0, size = 100) {
    return this.puppet.requestLater(FuseOpcode.READ, readArguments(fh, offset, size), { nodeid });
  }
}

let host: SlowHost;
beforeEach(() => {
  host = new SlowHost();
});
afterEach(() => {
  host.puppet.device.dispose();
  removeFolders();
});

test("sends reads to the thread pool after a slow one, until they are quick again", async () => {
  const { nodeid, fh } = host.open();
  host.readMs = 3;
  read(host.puppet, nodeid, fh, 0, 100);
  read(host.puppet, nodeid, fh, 0, 100);
  expect(host.later).toBe(0);
  host.readMs = 5;
  read(host.puppet, nodeid, fh, 0, 100);
  const reply = await host.readLater(nodeid, fh, 3);
  expect([host.later, reply.error, Buffer.from(reply.data).toString()]).toEqual([1, 0, "tents"]);
  expect(reply.used).toBe(reply.length);
  expect(host.puppet.device.stats).toMatchObject({ bytesRead: 29, bytesCopied: 5 });
  for (let i = 0; i < 6; i++) await host.readLater(nodeid, fh);
  host.laterMs = 2; // in the pool, so it begins again
  await host.readLater(nodeid, fh);
  host.laterMs = 0;
  for (let i = 0; i < 8; i++) await host.readLater(nodeid, fh);
  expect(host.later).toBe(16);
  expect(Buffer.from(read(host.puppet, nodeid, fh, 0, 3).data).toString()).toBe("con");
  expect(host.later).toBe(16);
});

test("F6: answers other requests, and those of high priority, meanwhile", async () => {
  const { nodeid, fh } = host.open();
  host.readMs = 5;
  read(host.puppet, nodeid, fh, 0, 1);
  host.held = true;
  const late = host.readLater(nodeid, fh);
  expect(getattr(host.puppet, nodeid).size).toBe(8n);
  expect(release(host.puppet, nodeid, fh)).toBe(0); // the call keeps the descriptor
  for (const begin of host.waiting.splice(0)) begin();
  expect(Buffer.from((await late).data).toString()).toBe("contents");
});

test("makes writes wait for the disk in the pool, with their data copied first", async () => {
  const { nodeid, fh } = host.open();
  host.readMs = 5;
  read(host.puppet, nodeid, fh, 0, 1);
  const head = new DataView(new ArrayBuffer(FuseWriteIn.sizeof));
  head.setBigUint64(FuseWriteIn.fh, BigInt(fh), true);
  head.setBigUint64(FuseWriteIn.offset, 2n, true);
  head.setUint32(FuseWriteIn.size, 3, true);
  const args = Buffer.concat([new Uint8Array(head.buffer), Buffer.from("NEW")]);
  const late = host.puppet.requestLater(FuseOpcode.WRITE, args, { nodeid });
  const reply = await late;
  expect([reply.error, reply.data.length, reply.view.getUint32(0, true)]).toEqual([0, 8, 3]);
  expect(nodefs.readFileSync(join(host.directory, "file"), "utf8")).toBe("coNEWnts");
  expect(host.puppet.device.stats).toMatchObject({ bytesWritten: 3, bytesCopied: 3 });
});

test("passes errors of the thread pool on unchanged", async () => {
  const { nodeid } = lookup(host.puppet, ROOT, "file");
  const fh = open(host.puppet, nodeid, 1); // may not read
  const reading = open(host.puppet, nodeid);
  host.readMs = 5;
  read(host.puppet, nodeid, reading, 0, 1);
  const reply = await host.readLater(nodeid, fh);
  expect([reply.error, reply.used]).toEqual([-Errno.EBADF, 16]);
});

test("G30: writes nothing for an answer that comes after a reset", async () => {
  const { nodeid, fh } = host.open();
  host.readMs = 5;
  read(host.puppet, nodeid, fh, 0, 1);
  host.held = true;
  void host.readLater(nodeid, fh);
  host.puppet.device.reset();
  for (const queue of host.puppet.queues) queue.detach();
  const before = Buffer.from(host.puppet.memory.u8).toString("latin1");
  const descriptors = descriptorsIn(host.directory);
  for (const begin of host.waiting.splice(0)) begin();
  while (descriptorsIn(host.directory) >= descriptors) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(Buffer.from(host.puppet.memory.u8).toString("latin1")).toBe(before);
});

test("makes at most sixteen calls at once; the others wait for their turn", async () => {
  const { nodeid, fh } = host.open();
  host.readMs = 5;
  read(host.puppet, nodeid, fh, 0, 1);
  host.held = true;
  const replies = Array.from({ length: 20 }, () => host.readLater(nodeid, fh));
  expect(host.later).toBe(16);
  host.held = false;
  for (const begin of host.waiting.splice(0)) begin();
  expect((await Promise.all(replies)).map(({ data }) => data.length)).toEqual(Array(20).fill(8));
});
