// The table of FUSE operations that this server knows. FORGET, INTERRUPT, INIT and DESTROY are not
// in it, because they need no node (server.ts).
import { Errno } from "../../../../abi/errno.ts";
import { FuseOpcode } from "../../../../abi/fuse.ts";
import { CHANGES } from "./changes.ts";
import { DATA } from "./data.ts";
import { changing, type Operation } from "./entry.ts";
import { MAPPINGS } from "./mapping.ts";
import { READING } from "./reading.ts";
import { SETATTR } from "./setattr.ts";
import { SYNCS } from "./sync.ts";

/** Node has no call for these. After ENOSYS the guest stops asking (U3). */
const UNKNOWN = [
  FuseOpcode.FALLOCATE,
  FuseOpcode.SETXATTR,
  FuseOpcode.REMOVEXATTR,
  FuseOpcode.TMPFILE,
].map((opcode) => changing(opcode, () => -Errno.ENOSYS));

export const OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  ...READING,
  SETATTR,
  ...CHANGES,
  ...DATA,
  ...SYNCS,
  ...MAPPINGS,
  ...UNKNOWN,
]);
