// Names of the operations on the wire, for people.
import { FuseOpcode } from "../abi/fuse.ts";
import { VsockOp } from "../abi/vsock.ts";

type Names = Readonly<Record<number, string>>;

const FUSE: Names = {
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

const VSOCK: Names = {
  [VsockOp.INVALID]: "INVALID",
  [VsockOp.REQUEST]: "REQUEST",
  [VsockOp.RESPONSE]: "RESPONSE",
  [VsockOp.RST]: "RST",
  [VsockOp.SHUTDOWN]: "SHUTDOWN",
  [VsockOp.RW]: "RW",
  [VsockOp.CREDIT_UPDATE]: "CREDIT_UPDATE",
  [VsockOp.CREDIT_REQUEST]: "CREDIT_REQUEST",
};

/** undefined: it has no name. */
export const knownFuseName = (opcode: number): string | undefined => FUSE[opcode];
export const fuseName = (opcode: number): string => FUSE[opcode] ?? `opcode ${opcode}`;
export const vsockName = (op: number): string => VSOCK[op] ?? `op ${op}`;
