// virtio-fs device with a window: what the host refuses while a change has to be shown.
import * as nodefs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { FuseOpcode } from "../../../abi/fuse.ts";
import { FuseSetattrValid } from "../../../abi/fuse-write.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { lookup, open, ROOT, release } from "../../support/fs-calls.ts";
import { setattr, write } from "../../support/fs-change-calls.ts";
import { FsPuppet, WINDOW_AT } from "../../support/fs-puppet.ts";

const SLOT = 65536;
const O_WRONLY = 1;
const READ = 2;
const WRITE = 1;
let path: string;
let fs: FsPuppet;
let refuses = false;

beforeEach(() => {
  const directory = makeFolder();
  path = join(directory, "file");
  nodefs.writeFileSync(path, "a".repeat(100));
  refuses = false;
  const files = new Proxy(hostFiles(), {
    get(target, key) {
      if (key !== "open") return Reflect.get(target, key).bind(target);
      return (inode: number, flags: number) => {
        if (!refuses) return target.open(inode, flags);
        throw Object.assign(new Error("refused"), { code: "EMFILE" });
      };
    },
  });
  const limits = { idleFilesMax: 0 };
  fs = new FsPuppet(directory, { readOnly: false, windowBytes: 4 * SLOT, files, limits });
  fs.init();
});
afterEach(() => {
  fs.device.dispose();
  removeFolders();
});

function map(nodeid: number, at: number, flags: number): number {
  const args = BigUint64Array.from([
    0xffffffffffffffffn,
    0n,
    BigInt(SLOT),
    BigInt(flags),
    BigInt(at),
  ]);
  return fs.request(FuseOpcode.SETUPMAPPING, new Uint8Array(args.buffer), { nodeid }).error;
}
const shown = (at: number, bytes: number) =>
  Buffer.from(fs.memory.bytes(WINDOW_AT + at, bytes)).toString();

test("answers a completed WRITE even if the host cannot read the part back", () => {
  const { nodeid } = lookup(fs, ROOT, "file");
  const fh = open(fs, nodeid, O_WRONLY);
  expect([map(nodeid, 0, READ), map(nodeid, SLOT, READ | WRITE)]).toEqual([0, 0]);
  refuses = true;
  expect(write(fs, nodeid, fh, 0, "new")).toBe(3);
  expect(shown(SLOT, 4)).toBe("newa"); // by the descriptor that it has
  const valid = (1 << FuseSetattrValid.SIZE) | (1 << FuseSetattrValid.FH);
  expect(setattr(fs, nodeid, { valid, fh, size: 50n }).error).toBe(0);
  expect(shown(SLOT + 49, 2)).toBe("a\0");
  refuses = false;
  expect(write(fs, nodeid, fh, 1, "!")).toBe(1);
  expect(shown(0, 4)).toBe("n!wa");
  expect(release(fs, nodeid, fh)).toBe(0);
  expect(nodefs.readFileSync(path, "utf8")).toBe(`n!w${"a".repeat(47)}`);
});
