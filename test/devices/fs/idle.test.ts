// virtio-fs: the host's files are held no longer than the guest works with them, and the shared
// directory is what its name leads to.
import * as fs from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { FUSE_O_RDWR } from "../../../abi/fuse.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import { PathFiles } from "../../../host/node/files/path-files.ts";
import type { FileChanges, Files } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { descriptorsIn } from "../../support/descriptors.ts";
import { type FileGuest, fileGuests } from "../../support/file-guest.ts";
import { counted } from "../../support/fs-faulty-host.ts";

const boot = await fileGuests();
/** Idle descriptors are closed within that time. */
const IDLE_MS = 2000;
let parent = "";
let root = "";
let held: Set<number>;
const host = (name: string) => join(root, name);

beforeEach(() => {
  parent = makeFolder();
  root = join(parent, "site");
  fs.mkdirSync(join(root, "dir/deep"), { recursive: true });
  fs.writeFileSync(host("file"), "file");
  fs.writeFileSync(host("dir/inside"), "inside");
  fs.writeFileSync(host("dir/deep/bottom"), "bottom");
});
afterEach(removeFolders);

function start(files: Files & FileChanges = hostFiles()): Promise<FileGuest> {
  const books = counted(files);
  held = books.held;
  return boot({ directory: root, files: books.files });
}

function text(g: FileGuest, path: string): string | number {
  const file = g.now("SysOpenFile", path, 0);
  if (file < 0) return file;
  const content = g.read(file);
  g.now("SysCloseFile", file);
  return content;
}

describe("an idle guest", () => {
  test("holds no descriptors, and finds its files again when it wakes", async () => {
    const before = descriptorsIn(root);
    const g = await start();
    expect(text(g, "/dir/deep/bottom")).toBe("bottom");
    expect(text(g, "/file")).toBe("file");
    expect(held.size).toBe(3); // directories; files only by their own descriptors
    g.advance(IDLE_MS);
    expect([held.size, descriptorsIn(root), g.clock.timers]).toEqual([0, before, 0]);
    expect(text(g, "/dir/deep/bottom")).toBe("bottom");
  });

  test("keeps the descriptors of its open files, and only those", async () => {
    const before = descriptorsIn(root);
    const g = await start();
    text(g, "/file");
    for (let i = 0; i < 5; i++) {
      expect(text(g, "/dir/inside")).toBe("inside");
      g.advance(800);
    }
    expect(held.size).toBe(2); // the root, and the directory
    expect(descriptorsIn(root)).toBe(before + 3); // and the file in it
  });

  test("frees a deleted file's space, unless it has it open", async () => {
    const g = await start();
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(text(g, "/dir/inside")).toBe("inside");
    for (const name of ["file", "dir/inside"]) fs.rmSync(host(name));
    g.advance(IDLE_MS);
    expect(held.size).toBe(1);
    expect(g.read(file)).toBe("file");
    expect(g.stat(file)).toMatchObject({ size: 4n, nlink: 0 });
    expect(text(g, "/dir/inside")).toBe(-Errno.ENOENT);
    expect(g.now("SysCloseFile", file)).toBe(0);
    g.advance(IDLE_MS);
    expect(held.size).toBe(0);
  });

  test("does not mistake another file for a known one", async () => {
    const g = await start();
    expect(text(g, "/dir/inside")).toBe("inside");
    g.advance(IDLE_MS);
    fs.renameSync(host("dir"), host("old"));
    fs.mkdirSync(host("dir"));
    fs.writeFileSync(host("dir/inside"), "new");
    expect(text(g, "/dir/inside")).toBe("new");
    expect(text(g, "/old/inside")).toBe("inside");
  });

  test("does not mistake a file that got its inode number for it", async () => {
    fs.symlinkSync("dir/inside", host("link"));
    const g = await start();
    expect(text(g, "/link")).toBe("inside");
    for (let i = 0; i < 5; i++) {
      g.advance(IDLE_MS);
      fs.rmSync(host("link"));
      const target = i % 2 === 0 ? "dir/deep/bottom" : "file";
      fs.symlinkSync(target, host("link"));
      expect(text(g, "/link")).toBe(i % 2 === 0 ? "bottom" : "file");
    }
  });

  test("finds a file again by any of its names", async () => {
    fs.linkSync(host("file"), host("second"));
    const g = await start();
    expect([text(g, "/file"), text(g, "/second")]).toEqual(["file", "file"]);
    g.advance(IDLE_MS);
    fs.rmSync(host("second"));
    expect(text(g, "/file")).toBe("file");
  });

  test("does not follow a directory that has become a symbolic link", async () => {
    fs.mkdirSync(join(parent, "outside"));
    fs.writeFileSync(join(parent, "outside/inside"), "secret");
    const g = await start();
    expect(text(g, "/dir/inside")).toBe("inside");
    g.advance(IDLE_MS);
    fs.renameSync(host("dir"), join(parent, "gone"));
    fs.symlinkSync("../outside", host("dir"));
    expect(text(g, "/dir/inside")).toBe(-Errno.ENOENT);
  });

  test("behaves the same without O_PATH descriptors", async () => {
    const g = await start(new PathFiles());
    expect(text(g, "/dir/deep/bottom")).toBe("bottom");
    g.advance(IDLE_MS);
    expect(held.size).toBe(0);
    fs.rmSync(root, { recursive: true });
    fs.mkdirSync(host("dir/deep"), { recursive: true });
    fs.writeFileSync(host("dir/deep/bottom"), "second");
    expect(text(g, "/dir/deep/bottom")).toBe("second");
  });
});

describe("a guest that caches names for longer than the host holds them", () => {
  const patient = () => boot({ directory: root, attrTimeoutMs: 60_000 });

  test("learns that they are stale, and looks again", async () => {
    const g = await patient();
    expect([text(g, "/dir/inside"), text(g, "/file")]).toEqual(["inside", "file"]);
    g.advance(IDLE_MS);
    for (const name of ["file", "dir/inside"]) {
      fs.writeFileSync(host("next"), "next");
      fs.renameSync(host("next"), host(name));
    }
    expect(text(g, "/dir/inside")).toBe("next");
    expect(text(g, "/file")).toBe("next");
  });

  test("finds the files of a directory that replaced its own", async () => {
    const g = await patient();
    expect(text(g, "/dir/deep/bottom")).toBe("bottom");
    g.advance(IDLE_MS);
    fs.renameSync(root, join(parent, "old")); // or its inodes might be used again
    fs.mkdirSync(host("dir/deep"), { recursive: true });
    fs.writeFileSync(host("dir/deep/other"), "other");
    expect(g.stat("/dir/deep/other")).toMatchObject({ size: 5n });
    expect(g.stat("/dir/deep/bottom")).toBe(-Errno.ENOENT);
    expect(g.now("SysCreateDir", "/dir/new", 0o755)).toBe(0);
  });
});

describe("the shared directory", () => {
  const remake = (content: string) => {
    fs.rmSync(root, { recursive: true });
    fs.mkdirSync(host("dir"), { recursive: true });
    fs.writeFileSync(host("dir/inside"), content);
  };

  test("is the new one when it is deleted and recreated, for a busy guest too", async () => {
    const g = await start();
    expect(text(g, "/dir/inside")).toBe("inside");
    remake("second");
    for (let i = 0; i < 4; i++) {
      g.advance(IDLE_MS / 4);
      g.stat("/dir/inside");
    }
    g.advance(1);
    expect(text(g, "/dir/inside")).toBe("second");
    g.advance(10 * IDLE_MS);
    remake("third");
    expect(text(g, "/dir/inside")).toBe("third");
  });

  test("is empty while it is gone, until it is there again", async () => {
    const g = await start();
    expect(text(g, "/dir/inside")).toBe("inside");
    fs.renameSync(root, join(parent, "elsewhere"));
    g.advance(IDLE_MS);
    expect(text(g, "/dir/inside")).toBe(-Errno.ENOENT);
    fs.renameSync(join(parent, "elsewhere"), root);
    expect(text(g, "/dir/inside")).toBe("inside");
  });

  test("follows a symbolic link when its target is switched", async () => {
    fs.renameSync(root, join(parent, "release1"));
    fs.mkdirSync(join(parent, "release2/dir"), { recursive: true });
    fs.writeFileSync(join(parent, "release2/dir/inside"), "release 2");
    fs.symlinkSync("release1", root);
    const g = await start();
    expect(text(g, "/dir/inside")).toBe("inside");
    fs.symlinkSync("release2", join(parent, "next"));
    fs.renameSync(join(parent, "next"), root);
    g.advance(IDLE_MS);
    expect(text(g, "/dir/inside")).toBe("release 2");
    expect(text(g, "/file")).toBe(-Errno.ENOENT);
  });

  test("fails when it has become a file", async () => {
    const g = await start();
    expect(text(g, "/file")).toBe("file");
    fs.rmSync(root, { recursive: true });
    fs.writeFileSync(root, "file");
    g.advance(IDLE_MS);
    expect(text(g, "/file")).toBe(-Errno.ENOTDIR);
  });
});

test("checks permission to open a file again after a second, also while it is open", async () => {
  const files = hostFiles();
  let opens = 0;
  const own = new Proxy(files, {
    get: (target, key) => {
      const call = Reflect.get(target, key);
      return (...args: unknown[]) => {
        if (key === "open" || key === "openAt") opens++;
        return call.apply(target, args);
      };
    },
  });
  const g = await start(own);
  const file = g.now("SysOpenFile", "/file", 0);
  for (let i = 0; i < 5; i++) text(g, "/file");
  expect(opens).toBe(1);
  g.advance(1001);
  for (let i = 0; i < 5; i++) text(g, "/file");
  expect(opens).toBe(2);
  expect(g.read(file)).toBe("file");
});
