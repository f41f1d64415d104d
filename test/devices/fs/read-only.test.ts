// The device without the code that changes anything answers as the whole one does where the guest
// may only read.
import { expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FuseInHeader, FuseOpcode } from "../../../abi/fuse.ts";
import type { Node } from "../../../host/devices/fs/nodes/node.ts";
import { READ_ONLY_OPERATIONS } from "../../../host/devices/fs/operations/read-only.ts";
import { CHANGE_SIZES, MAPPING_SIZES } from "../../../host/devices/fs/operations/sizes.ts";
import { OPERATIONS } from "../../../host/devices/fs/operations/table.ts";
import { ReadOnlyFsDevice } from "../../../host/devices/fs/read-only.ts";
import type { FuseRequest } from "../../../host/devices/fs/request.ts";
import type { Share } from "../../../host/devices/fs/share.ts";
import { REQUEST_TELLER } from "../../../host/devices/fs/trace.ts";
import { FsDevice } from "../../../host/devices/fs.ts";
import { MemoryFiles } from "../../../host/files/memory-files.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import {
  getattr,
  lookup,
  named,
  open,
  opendir,
  ROOT,
  read,
  readdir,
  release,
  words,
} from "../../support/fs-calls.ts";
import { FsPuppet } from "../../support/fs-puppet.ts";

const share = { changes: null, window: null, slow: null } as Share;
const request = { arguments: new DataView(new ArrayBuffer(64)) } as FuseRequest;
const node = {} as Node;

test("it knows the same operations, of the same sizes", () => {
  const sizes = (table: typeof OPERATIONS) =>
    [...table].map(([opcode, one]) => [opcode, one.argumentBytes, one.replyBytes]).sort();
  expect(sizes(READ_ONLY_OPERATIONS)).toEqual(sizes(OPERATIONS));
  expect(OPERATIONS.size).toBeGreaterThan(30);
});

test("it refuses the others as the whole device does, with the same errors", () => {
  const refused = [...Object.keys(CHANGE_SIZES), ...Object.keys(MAPPING_SIZES)].map(Number);
  const answers = (table: typeof OPERATIONS) =>
    refused.map((opcode) => table.get(opcode)?.serve(share, request, node));
  expect(answers(READ_ONLY_OPERATIONS)).toEqual(answers(OPERATIONS));
  expect(new Set(answers(OPERATIONS))).toEqual(new Set([-Errno.EROFS, -Errno.ENOSYS]));
});

test("other operations are the same functions", () => {
  for (const [opcode, { serve }] of OPERATIONS) {
    if (opcode in CHANGE_SIZES || opcode in MAPPING_SIZES) continue;
    expect(READ_ONLY_OPERATIONS.get(opcode)?.serve).toBe(serve);
  }
});

test("it is the same device to a driver, but for the window, which it cannot have", () => {
  const files = new MemoryFiles(new ManualClock());
  const options = { directory: "/", tag: "site", files };
  const [whole, light] = [new FsDevice(options), new ReadOnlyFsDevice(options)];
  const seen = ({ name, identity, features, queueSizesMax, sharedMemory, config }: FsDevice) => ({
    ...{ name, identity, features, queueSizesMax, sharedMemory, config },
  });
  expect(seen(light as FsDevice)).toEqual(seen(whole));
  const asked = { ...options, windowBytes: 1 << 20 } as typeof options;
  expect(() => new ReadOnlyFsDevice(asked)).toThrow("fs: it has no window");
});

test("a machine with it is not saved", () => {
  const files = new MemoryFiles(new ManualClock());
  const device = new ReadOnlyFsDevice({ directory: "/", tag: "site", files });
  expect(device.snapshots).toBeUndefined();
});

test("it describes its requests once it has a teller", () => {
  const files = new MemoryFiles(new ManualClock());
  const device = new ReadOnlyFsDevice({ directory: "/", tag: "site", files });
  const head = new DataView(new ArrayBuffer(FuseInHeader.sizeof));
  head.setUint32(FuseInHeader.opcode, FuseOpcode.LOOKUP, true);
  head.setBigUint64(FuseInHeader.nodeid, 1n, true);
  expect(device.describe(1, head)).toBe("");
  device.teller = REQUEST_TELLER;
  expect(device.describe(1, head)).toBe("LOOKUP of node 1");
});

/** All that a guest sees that reads, lets go, comes back, and asks for what it may not do. */
function session(Device: typeof FsDevice | typeof ReadOnlyFsDevice): readonly unknown[] {
  const clock = new ManualClock();
  const files = new MemoryFiles(clock, { "d/a": "content of a", "d/b": "b", c: "c" });
  const fs = new FsPuppet("/", {}, (options) => new Device({ ...options, files }));
  const seen: unknown[] = [fs.init().data];
  const note = <T>(one: T): T => {
    seen.push(one);
    return one;
  };
  for (let round = 0; round < 3; round++) {
    const d = note(lookup(fs, ROOT, "d")).nodeid;
    const a = note(lookup(fs, d, "a")).nodeid;
    note(lookup(fs, d, "missing"));
    const fh = note(open(fs, a));
    note(read(fs, a, fh, 3, 100).data);
    note(fs.request(FuseOpcode.FSYNC, words(fh, 0, 0, 0), { nodeid: a }).error);
    const dh = note(opendir(fs, d));
    note(readdir(fs, d, dh, 0, 4096, true));
    note(fs.request(FuseOpcode.UNLINK, named("a"), { nodeid: d }).error);
    note(fs.request(FuseOpcode.STATFS, words(), { nodeid: ROOT }).data);
    files.writeFile("d/new", "made by the page");
    if (round > 0) note(release(fs, d, dh, FuseOpcode.RELEASEDIR));
    note(release(fs, a, fh));
    fs.nowNs += 60e9;
    fs.alarm();
    fs.alarm();
    files.remove("d/b");
    note(getattr(fs, a));
  }
  fs.device.reset();
  fs.device.activate(fs.queues);
  note(fs.init().error);
  note(lookup(fs, ROOT, "c"));
  fs.device.dispose();
  return [...seen, { ...fs.device.stats }];
}

test("a guest that reads cannot tell it from the whole device", () => {
  const whole = session(FsDevice);
  expect(session(ReadOnlyFsDevice)).toEqual(whole);
  expect(whole.length).toBeGreaterThan(40);
});
