// The guest's file calls while programs of the host write, make and link in the same directory.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_APPEND, FUSE_O_CREAT, FUSE_O_EXCL, FUSE_O_RDWR } from "../../../abi/fuse.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { fileGuests } from "../../support/file-guest.ts";

const boot = await fileGuests();
const MIB = 1 << 20;
let root = "";
const host = (name: string) => join(root, name);
const text = (name: string) => fs.readFileSync(host(name), "latin1");

beforeEach(() => {
  root = makeFolder();
});
afterEach(removeFolders);

test("SysCopyFile of ranges that overlap after the first megabyte changes nothing", async () => {
  const content = Buffer.concat([1, 2, 3, 4].map((i) => Buffer.alloc(MIB, i)));
  fs.writeFileSync(host("large"), content);
  const g = await boot({ directory: root });
  const file = g.now("SysOpenFile", "/large", FUSE_O_RDWR);
  expect(g.now("SysCopyFile", file, 0, file, MIB, 2 * MIB)).toBe(-Errno.EINVAL);
  expect(g.now("SysCopyFile", file, 2 * MIB, file, 0, 4 * MIB)).toBe(MIB);
  content.copy(content, 0, 2 * MIB, 3 * MIB);
  expect(fs.readFileSync(host("large")).equals(content)).toBe(true);
});

test("the position after an append is where it ended, whoever has appended before", async () => {
  fs.writeFileSync(host("log"), "one\n");
  const g = await boot({ directory: root });
  const file = g.now("SysOpenFile", "/log", FUSE_O_RDWR | FUSE_O_APPEND);
  expect(g.write(file, "two\n")).toBe(4);
  fs.appendFileSync(host("log"), "theirs\n");
  expect(g.write(file, "three\n")).toBe(6);
  expect(g.now("SysSeekFile", file, 0, 1)).toBe(21);
  expect(text("log")).toBe("one\ntwo\ntheirs\nthree\n");
});

/** Before the host makes a file for the guest, a program of the host makes that link. */
function withLink(target: string) {
  const files = hostFiles();
  const create = (...args: Parameters<typeof files.create>) => {
    fs.symlinkSync(target, host(Buffer.from(args[1]).toString()));
    return files.create(...args);
  };
  const own = new Proxy(files, {
    get: (target, key) => (key === "create" ? create : Reflect.get(target, key).bind(target)),
  });
  return boot({ directory: root, files: own });
}

test("O_CREAT follows a symbolic link that has come to the name since it was looked up", async () => {
  fs.writeFileSync(host("file"), "content");
  const g = await withLink("file");
  const file = g.now("SysOpenFile", "/new", FUSE_O_RDWR | FUSE_O_CREAT);
  expect(g.read(file)).toBe("content");
});

test("O_EXCL does not", async () => {
  fs.writeFileSync(host("file"), "content");
  const g = await withLink("file");
  const flags = FUSE_O_RDWR | FUSE_O_CREAT | FUSE_O_EXCL;
  expect(g.now("SysOpenFile", "/new", flags)).toBe(-Errno.EEXIST);
});
