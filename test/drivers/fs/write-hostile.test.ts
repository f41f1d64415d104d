// D15: replies to requests that change something, which cannot be true. The call is -EIO, what came
// with it is given back, none of it is believed, and the device goes on.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import {
  FUSE_O_CREAT,
  FUSE_O_RDWR,
  FUSE_O_TRUNC,
  FuseOpcode,
  FuseType,
} from "../../../abi/fuse.ts";
import { FuseCreateIn, FuseRenameIn, FuseSetattrIn, FuseWriteIn } from "../../../abi/fuse-write.ts";
import { type FileCall, fileGuests } from "../../support/file-guest.ts";
import {
  type Answer,
  attributes,
  entry,
  FILE,
  init,
  LINK,
  type Request,
  type ScriptedFs,
  SUB,
} from "../../support/fs-script.ts";
import { created, MADE, writableFs, wrote } from "../../support/fs-write-script.ts";

const boot = await fileGuests();
const NEW = FUSE_O_RDWR | FUSE_O_CREAT;
const dir = (nodeid: number) => entry(nodeid, { type: FuseType.DIR });

/** Nodes that the guest has given back, and references to them. */
function forgotten(device: ScriptedFs): [number, number][] {
  return device.requests
    .filter(({ opcode }) => opcode === FuseOpcode.BATCH_FORGET)
    .flatMap(({ arguments: args }) =>
      Array.from({ length: args.readUInt32LE(0) }, (_, i): [number, number] => [
        Number(args.readBigUInt64LE(8 + i * 16)),
        Number(args.readBigUInt64LE(16 + i * 16)),
      ]),
    );
}

const FILE_HANDLE = "file";
type Args = (string | number)[];

describe("lies", () => {
  const text: Args = [FILE_HANDLE, "text"];
  const file: Args = ["/new", NEW];
  const made: Args = ["/new", 0o755];
  const lies: [string, number, Answer, FileCall, Args][] = [
    [
      "more written than was asked for",
      FuseOpcode.WRITE,
      { payload: wrote(5) },
      "SysWriteFile",
      text,
    ],
    ["4 GiB written", FuseOpcode.WRITE, { payload: wrote(0xffffffff) }, "SysWriteFile", text],
    ["nothing written", FuseOpcode.WRITE, { payload: wrote(0) }, "SysWriteFile", text],
    [
      "half of WRITE's reply",
      FuseOpcode.WRITE,
      { payload: new Uint8Array(4) },
      "SysWriteFile",
      text,
    ],
    ["no reply to WRITE", FuseOpcode.WRITE, {}, "SysWriteFile", text],
    ["an error above 0", FuseOpcode.WRITE, { error: 28 }, "SysWriteFile", text],
    [
      "more copied than was asked for",
      FuseOpcode.COPY_FILE_RANGE,
      { payload: wrote(5) },
      "SysCopyFile",
      [FILE_HANDLE, 0, FILE_HANDLE, 100, 4],
    ],
    ["a created node 0", FuseOpcode.CREATE, { payload: created(entry(0)) }, "SysOpenFile", file],
    ["a created root", FuseOpcode.CREATE, { payload: created(dir(1)) }, "SysOpenFile", file],
    [
      "a created root that is a file",
      FuseOpcode.CREATE,
      { payload: created(entry(1)) },
      "SysOpenFile",
      file,
    ],
    [
      "a created node that is its parent",
      FuseOpcode.CREATE,
      { payload: created(entry(SUB, { type: FuseType.REG })) },
      "SysOpenFile",
      ["/sub/new", NEW],
    ],
    [
      "a created directory",
      FuseOpcode.CREATE,
      { payload: created(dir(MADE)) },
      "SysOpenFile",
      file,
    ],
    [
      "a created file that is known as a directory",
      FuseOpcode.CREATE,
      { payload: created(entry(SUB, { type: FuseType.REG })) },
      "SysOpenFile",
      file,
    ],
    [
      "a created file of no type",
      FuseOpcode.CREATE,
      { payload: created(entry(MADE, { type: 0 })) },
      "SysOpenFile",
      file,
    ],
    [
      "a created file of 2^63 bytes",
      FuseOpcode.CREATE,
      { payload: created(entry(MADE, { size: 1n << 63n })) },
      "SysOpenFile",
      file,
    ],
    [
      "a created file without a handle",
      FuseOpcode.CREATE,
      { payload: entry(MADE) },
      "SysOpenFile",
      file,
    ],
    ["a handle alone", FuseOpcode.CREATE, { payload: new Uint8Array(16) }, "SysOpenFile", file],
    [
      "a made directory that is a file",
      FuseOpcode.MKDIR,
      { payload: entry(MADE) },
      "SysCreateDir",
      made,
    ],
    ["a made node 0", FuseOpcode.MKDIR, { payload: entry(0) }, "SysCreateDir", made],
    ["a made root", FuseOpcode.MKDIR, { payload: dir(1) }, "SysCreateDir", made],
    [
      "a made directory that is its parent",
      FuseOpcode.MKDIR,
      { payload: dir(SUB) },
      "SysCreateDir",
      ["/sub/new", 0o755],
    ],
    [
      "half an entry",
      FuseOpcode.MKDIR,
      { payload: dir(MADE).subarray(0, 64) },
      "SysCreateDir",
      made,
    ],
    [
      "a link that is a file",
      FuseOpcode.SYMLINK,
      { payload: entry(MADE) },
      "SysSymlink",
      ["t", "/new"],
    ],
    [
      "a second name of another file",
      FuseOpcode.LINK,
      { payload: entry(MADE) },
      "SysLink",
      ["/file", "/new"],
    ],
    [
      "a second name of node 0",
      FuseOpcode.LINK,
      { payload: entry(0) },
      "SysLink",
      ["/file", "/new"],
    ],
    [
      "a second name of a link",
      FuseOpcode.LINK,
      { payload: entry(LINK) },
      "SysLink",
      ["/file", "/new"],
    ],
    ["no attributes", FuseOpcode.SETATTR, {}, "SysSetMode", ["/file", 0o600]],
    [
      "half of the attributes",
      FuseOpcode.SETATTR,
      { payload: attributes(FILE).subarray(0, 52) },
      "SysSetMode",
      ["/file", 0o600],
    ],
    [
      "a file that becomes a directory",
      FuseOpcode.SETATTR,
      { payload: attributes(FILE, FuseType.DIR) },
      "SysTruncateFile",
      ["/file", 1],
    ],
    [
      "a file that becomes nothing",
      FuseOpcode.SETATTR,
      { payload: attributes(FILE, 0) },
      "SysSetTimes",
      ["/file", 0, 0],
    ],
    [
      "an opened file whose cut goes wrong",
      FuseOpcode.SETATTR,
      { payload: attributes(FILE, 3) },
      "SysOpenFile",
      ["/file", FUSE_O_RDWR | FUSE_O_TRUNC],
    ],
    ["a number of another request", FuseOpcode.UNLINK, { unique: 0n }, "SysUnlink", ["/file"]],
    ["more than there is", FuseOpcode.RMDIR, { length: 24 }, "SysRemoveDir", ["/sub"]],
    ["less than there is", FuseOpcode.RENAME, { length: 8 }, "SysRename", ["/file", "/x", 0]],
    [
      "the lowest error",
      FuseOpcode.RENAME2,
      { error: -2147483648 },
      "SysRename",
      ["/file", "/x", 1],
    ],
    ["nothing about fsync", FuseOpcode.FSYNC, { used: 0 }, "SysSyncFile", [FILE_HANDLE, 0]],
    ["an error below -4095", FuseOpcode.ACCESS, { error: -4096 }, "SysAccessFile", ["/file", 4]],
    [
      "too little room",
      FuseOpcode.STATFS,
      { payload: new Uint8Array(48) },
      "SysStatFileSystem",
      ["/", 4096],
    ],
  ];
  test.each(lies)("%s", async (_, opcode, answer, call, args) => {
    let lied = false;
    const device = writableFs((request) => {
      if (request.opcode !== opcode || lied) return undefined;
      lied = true;
      return answer;
    });
    const g = await boot({ device });
    expect(typeof g.stat("/sub")).toBe("object");
    const handle = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const files = g.machine.call("openFiles");
    const real = args.map((one) => (one === FILE_HANDLE ? handle : one));
    expect(g.now(call, ...real)).toBe(-Errno.EIO);
    expect(lied).toBe(true);
    expect(g.machine.call("openFiles")).toBe(files);
    // It goes on: the same call, with a true reply, succeeds.
    expect(g.now(call, ...real)).toBeGreaterThanOrEqual(0);
    expect(g.write(handle, "text")).toBe(4);
    expect(typeof g.stat("/file")).toBe("object");
    expect(typeof g.stat("/sub")).toBe("object");
    expect(device.resets).toBe(0);
    for (const request of device.requests) expect(request.length).toBe(request.readableBytes);
  });

  test("D2: a WRITE that is used for more than it has room for fails the device", async () => {
    const device = writableFs(({ opcode }) =>
      opcode === FuseOpcode.WRITE ? { used: 4096 } : undefined,
    );
    const g = await boot({ device });
    const handle = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    expect(g.write(handle, "text")).toBe(-Errno.EIO);
    expect(device.resets).toBe(1);
    expect(g.now("SysCreateDir", "/new", 0o755)).toBe(-Errno.EIO);
    expect(g.now("SysCloseFile", handle)).toBe(0);
  });

  test("U5: the reference that came with a refused node is given back, and that of a renamed one", async () => {
    const wrong = (request: Request) =>
      request.opcode === FuseOpcode.MKDIR ? { payload: entry(MADE) } : undefined;
    const device = writableFs(wrong);
    const g = await boot({ device });
    expect(g.now("SysCreateDir", "/new", 0o755)).toBe(-Errno.EIO);
    expect(forgotten(device)).toEqual([[MADE, 1]]);
    expect(g.now("SysRename", "/file", "/new", 0)).toBe(0);
    expect(forgotten(device)).toEqual([
      [MADE, 1],
      [FILE, 1],
    ]);
  });

  test("a second name that is another file is not kept", async () => {
    const lie = ({ opcode }: Request) =>
      opcode === FuseOpcode.LINK ? { payload: entry(MADE) } : undefined;
    const device = writableFs(lie);
    const g = await boot({ device });
    expect(g.now("SysLink", "/file", "/new")).toBe(-Errno.EIO);
    expect(forgotten(device)).toEqual([[MADE, 1]]);
    expect(g.stat("/new")).toBe(-Errno.ENOENT);
  });

  test("attributes beyond what 64 bits of nanoseconds hold end there", async () => {
    const far = attributes(FILE);
    const view = new DataView(far.buffer);
    view.setBigUint64(16 + 24, 1n << 62n, true); // atime
    view.setBigInt64(16 + 32, -(1n << 62n), true); // mtime
    view.setUint32(16 + 52, 0xffffffff, true); // mtimensec
    const device = writableFs(({ opcode }) =>
      opcode === FuseOpcode.SETATTR ? { payload: far } : undefined,
    );
    const g = await boot({ device });
    expect(g.now("SysSetMode", "/file", 0o600)).toBe(0);
    expect(g.stat("/file")).toMatchObject({
      atimeNs: 9_223_372_035n * 1_000_000_000n,
      mtimeNs: -9_223_372_035n * 1_000_000_000n + 999_999_999n,
    });
  });
});

describe("requests are as FUSE wants them", () => {
  test("each has just the arguments and the room that it needs", async () => {
    const device = writableFs();
    const g = await boot({ device });
    const seen = (opcode: number) => device.requests.find((one) => one.opcode === opcode)!;
    const handle = g.now("SysOpenFile", "/new", NEW | FUSE_O_TRUNC);
    const create = seen(FuseOpcode.CREATE);
    expect(create.arguments.readUInt32LE(FuseCreateIn.flags)).toBe(NEW | FUSE_O_TRUNC);
    expect(create.arguments.readUInt32LE(FuseCreateIn.mode)).toBe(0o100666);
    expect(create.arguments.subarray(FuseCreateIn.sizeof).toString()).toBe("new\0");
    expect(create.writableBytes).toBe(16 + 128 + 16);
    g.now("SysWriteFileAt", handle, "text", 5);
    const write = seen(FuseOpcode.WRITE);
    expect(write.arguments.readUInt32LE(FuseWriteIn.size)).toBe(4);
    expect(write.arguments.readBigUInt64LE(FuseWriteIn.offset)).toBe(5n);
    expect(write.arguments.subarray(FuseWriteIn.sizeof).toString()).toBe("text");
    expect([write.nodeid, write.writableBytes]).toEqual([MADE, 16 + 8]);
    g.now("SysRename", "/file", "/sub/other", 0);
    const rename = seen(FuseOpcode.RENAME);
    expect(rename.nodeid).toBe(1);
    expect(rename.arguments.readBigUInt64LE(FuseRenameIn.newdir)).toBe(BigInt(SUB));
    expect(rename.arguments.subarray(FuseRenameIn.sizeof).toString()).toBe("file\0other\0");
    g.now("SysSymlink", "text", "/link2");
    expect(seen(FuseOpcode.SYMLINK).arguments.toString()).toBe("link2\0text\0");
    g.now("SysSetTimes", "/file", -1, 1_500_000_000);
    const setattr = seen(FuseOpcode.SETATTR).arguments;
    expect(setattr.readUInt32LE(FuseSetattrIn.valid)).toBe(0x30);
    expect(setattr.readBigInt64LE(FuseSetattrIn.atime)).toBe(-1n);
    expect(setattr.readUInt32LE(FuseSetattrIn.atimensec)).toBe(999_999_999);
    expect(setattr.readBigInt64LE(FuseSetattrIn.mtime)).toBe(1n);
    expect(setattr.readUInt32LE(FuseSetattrIn.mtimensec)).toBe(500_000_000);
  });

  test("two names of 255 bytes fit RENAME2", async () => {
    const device = writableFs();
    const g = await boot({ device });
    const long = "n".repeat(255);
    expect(g.now("SysRename", "/file", `/${long}`, 1)).toBe(0);
    const { arguments: args } = device.requests.find((r) => r.opcode === FuseOpcode.RENAME2)!;
    expect(args.subarray(16).toString()).toBe(`file\0${long}\0`);
  });

  test("U13: no WRITE is longer than max_write and max_pages allow; one that is short ends it", async () => {
    let writes = 0;
    const device = writableFs(({ opcode }) => {
      if (opcode === FuseOpcode.INIT) return { payload: init({ maxPages: 1 }) };
      return opcode === FuseOpcode.WRITE && ++writes === 3 ? { payload: wrote(7) } : undefined;
    });
    const g = await boot({ device });
    const handle = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const at = g.allocate(20_000);
    expect(g.now("SysWriteFile", handle, at, 20_000)).toBe(4096 + 4096 + 7);
    expect(g.now("SysSeekFile", handle, 0, 1)).toBe(4096 + 4096 + 7);
  });

  test("a WRITE that fails after another one is a short write", async () => {
    let writes = 0;
    const device = writableFs(({ opcode }) => {
      if (opcode === FuseOpcode.INIT) return { payload: init({ maxPages: 1 }) };
      return opcode === FuseOpcode.WRITE && ++writes > 1 ? { error: -Errno.ENOSPC } : undefined;
    });
    const g = await boot({ device });
    const handle = g.now("SysOpenFile", "/file", FUSE_O_RDWR);
    const at = g.allocate(8192);
    expect(g.now("SysWriteFile", handle, at, 8192)).toBe(4096);
    expect(g.now("SysWriteFile", handle, at, 8192)).toBe(-Errno.ENOSPC);
  });

  test("ENFILE of a server that is full makes the guest forget, and it tries again", async () => {
    let refused = false;
    const device = writableFs(({ opcode }) => {
      if (opcode !== FuseOpcode.MKDIR || refused) return undefined;
      refused = true;
      return { error: -Errno.ENFILE };
    });
    const g = await boot({ device });
    expect(typeof g.stat("/file")).toBe("object");
    expect(g.now("SysCreateDir", "/new", 0o755)).toBe(0);
    expect(refused).toBe(true);
  });
});
