// Names of FUSE's operations, for people.
import { FuseOpcode } from "../../../abi/fuse.ts";

/** Operations that have a name in traces and metrics. */
const NAMES: Readonly<Record<number, string>> = {
  [FuseOpcode.LOOKUP]: "LOOKUP",
  [FuseOpcode.FORGET]: "FORGET",
  [FuseOpcode.GETATTR]: "GETATTR",
  [FuseOpcode.SETATTR]: "SETATTR",
  [FuseOpcode.READLINK]: "READLINK",
  [FuseOpcode.SYMLINK]: "SYMLINK",
  [FuseOpcode.MKNOD]: "MKNOD",
  [FuseOpcode.MKDIR]: "MKDIR",
  [FuseOpcode.UNLINK]: "UNLINK",
  [FuseOpcode.RMDIR]: "RMDIR",
  [FuseOpcode.RENAME]: "RENAME",
  [FuseOpcode.LINK]: "LINK",
  [FuseOpcode.OPEN]: "OPEN",
  [FuseOpcode.READ]: "READ",
  [FuseOpcode.WRITE]: "WRITE",
  [FuseOpcode.STATFS]: "STATFS",
  [FuseOpcode.RELEASE]: "RELEASE",
  [FuseOpcode.FSYNC]: "FSYNC",
  [FuseOpcode.FLUSH]: "FLUSH",
  [FuseOpcode.INIT]: "INIT",
  [FuseOpcode.OPENDIR]: "OPENDIR",
  [FuseOpcode.READDIR]: "READDIR",
  [FuseOpcode.RELEASEDIR]: "RELEASEDIR",
  [FuseOpcode.FSYNCDIR]: "FSYNCDIR",
  [FuseOpcode.ACCESS]: "ACCESS",
  [FuseOpcode.CREATE]: "CREATE",
  [FuseOpcode.INTERRUPT]: "INTERRUPT",
  [FuseOpcode.DESTROY]: "DESTROY",
  [FuseOpcode.BATCH_FORGET]: "BATCH_FORGET",
  [FuseOpcode.READDIRPLUS]: "READDIRPLUS",
  [FuseOpcode.LSEEK]: "LSEEK",
  [FuseOpcode.RENAME2]: "RENAME2",
  [FuseOpcode.COPY_FILE_RANGE]: "COPY_FILE_RANGE",
  [FuseOpcode.COPY_FILE_RANGE_64]: "COPY_FILE_RANGE_64",
  [FuseOpcode.SETUPMAPPING]: "SETUPMAPPING",
  [FuseOpcode.REMOVEMAPPING]: "REMOVEMAPPING",
};

/** null: nobody knows it. */
export function opcodeName(opcode: number): string | null {
  return NAMES[opcode] ?? null;
}
