// A scripted virtio-fs device (fs-script.ts) that also takes changes, as a small sane server does:
// it says yes and keeps nothing.
import { FuseOpcode, FuseOpenOut, FuseStatfsOut, FuseType } from "../../abi/fuse.ts";
import { FuseCopyFileRangeIn, FuseWriteIn } from "../../abi/fuse-write.ts";
import {
  type Answer,
  attributes,
  entry,
  FILE,
  type Request,
  type Script,
  ScriptedFs,
  type ScriptOptions,
} from "./fs-script.ts";

/** The node that is made. */
export const MADE = 9;

/** FuseWriteOut. */
export const wrote = (size: number) => new Uint8Array(Uint32Array.of(size, 0).buffer);

/** The reply to CREATE: an entry and a handle. */
export function created(made: Uint8Array): Uint8Array {
  return new Uint8Array(Buffer.concat([made, new Uint8Array(FuseOpenOut.sizeof)]));
}

function sane({ opcode, nodeid, arguments: args }: Request): Answer | undefined {
  switch (opcode) {
    case FuseOpcode.WRITE:
      return { payload: wrote(args.readUInt32LE(FuseWriteIn.size)) };
    case FuseOpcode.COPY_FILE_RANGE:
      return { payload: wrote(args.readUInt32LE(FuseCopyFileRangeIn.len)) };
    case FuseOpcode.SETATTR:
      return { payload: attributes(nodeid) };
    case FuseOpcode.CREATE:
      return { payload: created(entry(MADE)) };
    case FuseOpcode.MKDIR:
      return { payload: entry(MADE, { type: FuseType.DIR }) };
    case FuseOpcode.SYMLINK:
      return { payload: entry(MADE, { type: FuseType.LNK }) };
    case FuseOpcode.LINK:
      return { payload: entry(FILE) };
    case FuseOpcode.STATFS:
      return { payload: new Uint8Array(FuseStatfsOut.sizeof) };
    default:
      return undefined;
  }
}

export function writableFs(script: Script = () => undefined, options: ScriptOptions = {}) {
  return new ScriptedFs({ ...options, script: (request) => script(request) ?? sane(request) });
}
