// The guest's caches after its own changes, against a scripted device: they hold nothing that the
// guest could know to be stale.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import {
  FUSE_O_APPEND,
  FUSE_O_RDWR,
  FuseAttr,
  FuseAttrOut,
  FuseOpcode,
} from "../../../abi/fuse.ts";
import { type FileCall, fileGuests } from "../../support/file-guest.ts";
import { attributes, entry, FILE, type Request } from "../../support/fs-script.ts";
import { writableFs } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const nameIn = ({ arguments: args }: Request) => args.subarray(0, -1).toString();

test("through a symbolic link to the root, attributes are the root's of now", async () => {
  let size = 0n;
  const device = writableFs(({ opcode, nodeid }) => {
    if (opcode === FuseOpcode.READLINK) return { payload: Buffer.from("//") };
    if (opcode !== FuseOpcode.GETATTR || nodeid !== 1) return undefined;
    const payload = attributes(1);
    new DataView(payload.buffer).setBigUint64(FuseAttrOut.attr + FuseAttr.size, ++size, true);
    return { payload };
  });
  const g = await boot({ device });
  expect(g.stat("/")).toMatchObject({ size: 1n });
  g.advance(1000);
  expect(g.stat("/link")).toMatchObject({ size: 2n });
  expect(g.stat("/link/")).toMatchObject({ size: 2n });
});

test("a name that came back while it was being removed is looked up again", async () => {
  let there = true;
  const device = writableFs((request) => {
    if (request.opcode === FuseOpcode.UNLINK) return { afterMs: 10 };
    if (request.opcode !== FuseOpcode.LOOKUP || nameIn(request) !== "file") return undefined;
    return there ? undefined : { error: -Errno.ENOENT };
  });
  const g = await boot({ device });
  const unlink = g.start("SysUnlink", "/file");
  expect(g.now("SysRename", "/file", "/other", 0)).toBe(0);
  expect(typeof g.stat("/file")).toBe("object"); // the other one was moved back on the host
  there = false;
  g.advance(10);
  expect(unlink.result).toBe(0n);
  expect(g.stat("/file")).toBe(-Errno.ENOENT);
});

test("a name that came back while it was being moved is looked up again", async () => {
  let there = true;
  const device = writableFs((request) => {
    if (request.opcode === FuseOpcode.RENAME2) return { afterMs: 10 };
    if (request.opcode !== FuseOpcode.LOOKUP || nameIn(request) !== "file") return undefined;
    return there ? undefined : { error: -Errno.ENOENT };
  });
  const g = await boot({ device });
  const move = g.start("SysRename", "/file", "/new", 1);
  expect(g.now("SysRename", "/file", "/other", 0)).toBe(0);
  expect(typeof g.stat("/file")).toBe("object");
  there = false;
  g.advance(10);
  expect(move.result).toBe(0n);
  expect(g.stat("/file")).toBe(-Errno.ENOENT);
});

test("looks a name up again when the host reports ENOENT on a move", async () => {
  let there = true;
  const device = writableFs((request) => {
    if (there) return undefined;
    if (request.opcode === FuseOpcode.RENAME) return { error: -Errno.ENOENT };
    return request.opcode === FuseOpcode.LOOKUP ? { error: -Errno.ENOENT } : undefined;
  });
  const g = await boot({ device });
  expect(typeof g.stat("/file")).toBe("object");
  there = false;
  expect(g.now("SysRename", "/file", "/new", 0)).toBe(-Errno.ENOENT);
  expect(g.stat("/file")).toBe(-Errno.ENOENT);
});

test("a name that was cached as missing is looked up again after a lie about it", async () => {
  let there = false;
  const device = writableFs((request) => {
    if (request.opcode === FuseOpcode.MKDIR) return { payload: entry(FILE) };
    if (request.opcode !== FuseOpcode.LOOKUP || nameIn(request) !== "new") return undefined;
    return { error: 0, payload: entry(there ? 9 : 0) };
  });
  const g = await boot({ device });
  expect(g.stat("/new")).toBe(-Errno.ENOENT);
  expect(g.now("SysCreateDir", "/new", 0o755)).toBe(-Errno.EIO);
  there = true;
  expect(typeof g.stat("/new")).toBe("object");
});

describe("of a directory that", () => {
  const missing = (request: Request) =>
    request.opcode === FuseOpcode.LOOKUP && nameIn(request) === "missing"
      ? { error: 0, payload: entry(0, { validS: 60 }) }
      : undefined;
  test.each<[string, FileCall, (string | number)[]]>([
    ["is removed", "SysRemoveDir", ["/sub"]],
    ["is moved", "SysRename", ["/sub", "/new", 0]],
    ["is replaced", "SysRename", ["/file", "/sub", 0]],
  ])("%s no missing names are kept", async (_, call, args) => {
    const g = await boot({ device: writableFs(missing) });
    expect(typeof g.stat("/file")).toBe("object");
    expect(typeof g.stat("/sub")).toBe("object");
    const before = Number(g.machine.call("knownNodes"));
    expect(g.stat("/sub/missing")).toBe(-Errno.ENOENT);
    expect(g.machine.call("knownNodes")).toBe(before + 1);
    expect(g.now(call, ...args)).toBe(0);
    expect(g.machine.call("knownNodes")).toBeLessThan(before);
  });

  test("could not be removed they are", async () => {
    const device = writableFs((request) =>
      request.opcode === FuseOpcode.RMDIR ? { error: -Errno.ENOTEMPTY } : missing(request),
    );
    const g = await boot({ device });
    expect(g.stat("/sub/missing")).toBe(-Errno.ENOENT);
    const before = g.machine.call("knownNodes");
    expect(g.now("SysRemoveDir", "/sub")).toBe(-Errno.ENOTEMPTY);
    expect(g.stat("/sub/missing")).toBe(-Errno.ENOENT);
    expect(g.machine.call("knownNodes")).toBe(before);
  });
});

describe("O_APPEND", () => {
  test("at the end of what a file can be writes nothing", async () => {
    const size = (1n << 63n) - 3n;
    const device = writableFs(({ opcode }) => {
      if (opcode !== FuseOpcode.LOOKUP) return undefined;
      return { payload: entry(FILE, { size }) };
    });
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR | FUSE_O_APPEND);
    expect(g.write(file, "text")).toBe(-Errno.EFBIG);
    expect(g.now("SysSeekFile", file, 0, 1)).toBe(0);
  });

  test("does not care where the position is", async () => {
    const device = writableFs();
    const g = await boot({ device });
    const file = g.now("SysOpenFile", "/file", FUSE_O_RDWR | FUSE_O_APPEND);
    const last = (1n << 63n) - 1n;
    expect(g.start("SysSeekFile", file, last, 0).result).toBe(last);
    expect(g.write(file, "text")).toBe(4);
    expect(g.now("SysSeekFile", file, 0, 1)).toBe(8 + 4);
  });
});
