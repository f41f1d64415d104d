// virtio-fs device with a window, on a slow host: what the guest stores into a file that it has
// mapped while the thread pool still works on a WRITE of the same page.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { FuseWriteIn } from "../../../abi/fuse-write.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { getattr, lookup, open, ROOT } from "../../support/fs-calls.ts";
import { FsPuppet, WINDOW_AT } from "../../support/fs-puppet.ts";

const SLOT = 65536;
const O_RDWR = 2;
let path: string;
let fs: FsPuppet;
/** Work of the thread pool, and its report. */
let work: () => void;
let tell: () => void;

beforeEach(() => {
  const directory = makeFolder();
  path = join(directory, "file");
  nodefs.writeFileSync(path, "a".repeat(100));
  const host = hostFiles();
  const writeLater: typeof host.writeLater = (descriptor, view, offset, done) => {
    let written = 0;
    work = () => {
      written = host.write(descriptor, [view], offset);
    };
    tell = () => done(null, written);
  };
  const files = new Proxy(host, {
    get: (target, key) =>
      key === "writeLater" ? writeLater : Reflect.get(target, key).bind(target),
  });
  // Less than no time: every kick is said to have been held up by the host.
  const limits = { slowMs: -1 };
  fs = new FsPuppet(directory, { readOnly: false, windowBytes: 4 * SLOT, files, limits });
  fs.init();
});
afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

function mapForWriting(nodeid: number, at: number): number {
  const args = BigUint64Array.from([2n ** 64n - 1n, 0n, BigInt(SLOT), 3n, BigInt(at)]);
  return fs.request(FuseOpcode.SETUPMAPPING, new Uint8Array(args.buffer), { nodeid }).error;
}

function writeLate(nodeid: number, fh: number, offset: number, text: string) {
  const head = new DataView(new ArrayBuffer(FuseWriteIn.sizeof));
  head.setBigUint64(FuseWriteIn.fh, BigInt(fh), true);
  head.setBigUint64(FuseWriteIn.offset, BigInt(offset), true);
  head.setUint32(FuseWriteIn.size, text.length, true);
  const args = Buffer.concat([new Uint8Array(head.buffer), Buffer.from(text)]);
  return fs.requestLater(FuseOpcode.WRITE, args, { nodeid });
}
const window = (at: number, bytes: number) => Buffer.from(fs.memory.bytes(WINDOW_AT + at, bytes));
const shown = (at: number) => window(at, 6).toString();

test.each(["before", "after"])(
  "F18: a store beside a WRITE in the thread pool, which is done %s the store, is written",
  async (when) => {
    const { nodeid } = lookup(fs, ROOT, "file");
    const fh = open(fs, nodeid, O_RDWR);
    const late = writeLate(nodeid, fh, 0, "WRI");
    expect([mapForWriting(nodeid, 0), mapForWriting(nodeid, SLOT)]).toEqual([0, 0]);
    fs.memory.bytes(WINDOW_AT + 4, 1).set(Buffer.from("s"));
    fs.memory.bytes(WINDOW_AT + SLOT + 5, 1).set(Buffer.from("t"));
    if (when === "before") work();
    expect(getattr(fs, nodeid).size).toBe(100n); // and what was stored is written
    expect(nodefs.readFileSync(path, "utf8").slice(4, 7)).toBe("sta");
    if (when === "after") work();
    tell();
    expect((await late).error).toBe(0);
    expect(nodefs.readFileSync(path, "utf8").slice(0, 7)).toBe("WRIasta");
    expect([shown(0), shown(SLOT)]).toEqual(["WRIast", "WRIast"]);
  },
);
