// The guest's file calls on a disk that hangs: threads that need it wait, all others go on, and
// nobody takes the device for dead.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { Files, LaterCall, LaterDone } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { type FileGuest, fileGuests } from "../../support/file-guest.ts";

const boot = await fileGuests();
const SECOND = 1000;
let root = "";
let guest: FileGuest;
/** Calls that the thread pool holds unanswered. */
let hanging: (() => void)[] = [];

beforeEach(async () => {
  root = makeFolder();
  hanging = [];
  for (const name of ["slow", "hung", "other"]) fs.writeFileSync(join(root, name), name);
  const files = hostFiles();
  const nameOf = (inode: number) => fs.readlinkSync(`/proc/self/fd/${inode}`);
  const own = {
    openAt: (directory: number, name: Uint8Array) => {
      if (Buffer.from(name).toString() === "slow") guest.clock.advance(6 * SECOND);
      return (files as Required<Files>).openAt(directory, name);
    },
    open: (inode: number, flags: number) => {
      if (nameOf(inode).endsWith("slow")) guest.clock.advance(6 * SECOND); // the host is at work
      return files.open(inode, flags);
    },
    later: (call: LaterCall, args: readonly unknown[], done: LaterDone) => {
      const go = () => files.later?.(call, args, done);
      if (call === "open" && nameOf(args[0] as number).endsWith("hung")) hanging.push(go);
      else go();
    },
  };
  const slow = new Proxy(files, {
    get: (target, key) => Reflect.get(own, key) ?? Reflect.get(target, key).bind(target),
  });
  guest = await boot({ directory: root, files: slow });
});
afterEach(removeFolders);

async function text(path: string): Promise<string | number> {
  const file = Number(await guest.call("SysOpenFile", path, 0));
  const buffer = guest.allocate(64);
  const got = Number(await guest.call("SysReadFile", file, buffer, 64));
  await guest.call("SysCloseFile", file);
  return got < 0 ? got : Buffer.from(guest.bytes(buffer, got)).toString();
}

test("a call that the host takes six seconds for is answered, and so is what follows", async () => {
  expect(await text("/slow")).toBe("slow");
  expect(await text("/other")).toBe("other");
  guest.advance(6 * SECOND);
  expect(await text("/slow")).toBe("slow");
});

test("one that hangs for minutes holds up nobody, and is answered in the end", async () => {
  expect(await text("/slow")).toBe("slow"); // the host is known to be slow
  expect(typeof (await guest.call("SysStatFile", "/hung", guest.allocate(128)))).toBe("bigint");
  const hung = guest.start("SysOpenFile", "/hung", 0);
  for (let minutes = 0; minutes < 4; minutes++) {
    expect(await text("/other")).toBe("other");
    guest.advance(60 * SECOND);
  }
  expect([hung.result, hanging.length]).toEqual([undefined, 1]);
  for (const go of hanging.splice(0)) go();
  while (hung.result === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    guest.settle();
  }
  expect(Number(hung.result)).toBeGreaterThan(0);
});

test("one that never ends costs its caller five minutes, and the others a second", async () => {
  expect(await text("/slow")).toBe("slow");
  await guest.call("SysStatFile", "/hung", guest.allocate(128));
  const hung = guest.start("SysOpenFile", "/hung", 0);
  while (hanging.length === 0) await new Promise((resolve) => setImmediate(resolve));
  guest.advance(301 * SECOND);
  expect(hung.result).toBe(-5n);
  guest.advance(1100);
  expect(await text("/other")).toBe("other");
});
