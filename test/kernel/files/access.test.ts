// SysAccessFile: the rights of the host's process are asked for once, and cached as long as the
// attributes are.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_R_OK, FUSE_W_OK, FUSE_X_OK } from "../../../abi/fuse.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { fileGuests } from "../../support/file-guest.ts";

const boot = await fileGuests();
let root = "";
let asked: number[] = [];
/** Calls that the host's permissions refuse, since root has them all. */
let refused = 0;

beforeEach(() => {
  root = makeFolder();
  asked = [];
  refused = 0;
  fs.mkdirSync(join(root, "dir"));
  fs.writeFileSync(join(root, "dir/file"), "file");
  fs.symlinkSync("dir/file", join(root, "link"));
});
afterEach(removeFolders);

function start() {
  const files = hostFiles();
  const access = (_inode: number, mask: number) => {
    asked.push(mask);
    if ((mask & refused) !== 0) throw Object.assign(new Error("refused"), { code: "EACCES" });
  };
  const own = new Proxy(files, {
    get: (target, key) => (key === "access" ? access : Reflect.get(target, key).bind(target)),
  });
  return boot({ directory: root, files: own });
}

test("a right is asked for once as long as the attributes are valid, granted or not", async () => {
  const g = await start();
  refused = FUSE_X_OK;
  for (let i = 0; i < 3; i++) {
    expect(typeof g.stat("/dir/file")).toBe("object");
    expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK)).toBe(0);
    expect(g.now("SysAccessFile", "/dir/file", FUSE_X_OK)).toBe(-Errno.EACCES);
  }
  expect(asked).toEqual([FUSE_R_OK, FUSE_X_OK]);
  g.advance(1001);
  expect(typeof g.stat("/dir/file")).toBe("object");
  refused = FUSE_R_OK;
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK)).toBe(-Errno.EACCES);
  expect(g.now("SysAccessFile", "/dir/file", FUSE_X_OK)).toBe(0);
});

test("of several rights that are refused together each is asked for again", async () => {
  const g = await start();
  refused = FUSE_W_OK;
  expect(typeof g.stat("/dir/file")).toBe("object");
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK | FUSE_W_OK)).toBe(-Errno.EACCES);
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK)).toBe(0);
  expect(g.now("SysAccessFile", "/dir/file", FUSE_W_OK)).toBe(-Errno.EACCES);
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK | FUSE_W_OK)).toBe(-Errno.EACCES);
  expect(asked).toEqual([6, 4, 2]);
});

test("asks anew after the guest's own change", async () => {
  const g = await start();
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK)).toBe(0);
  expect(g.now("SysSetMode", "/dir/file", 0)).toBe(0);
  refused = FUSE_R_OK;
  expect(g.now("SysAccessFile", "/dir/file", FUSE_R_OK)).toBe(-Errno.EACCES);
});

test("by a symbolic link it is the file's right that counts", async () => {
  const g = await start();
  refused = FUSE_R_OK;
  expect(g.now("SysAccessFile", "/link", FUSE_R_OK)).toBe(-Errno.EACCES);
  expect(g.now("SysAccessFile", "/nobody", FUSE_R_OK)).toBe(-Errno.ENOENT);
});
