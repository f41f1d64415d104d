// The table of FUSE operations of a device that changes nothing and maps no files. The others have
// the answers that they have where the guest may only read.
import { Errno } from "../../../../abi/errno.ts";
import { type Entry, type Operation, reading } from "./entry.ts";
import { READING } from "./reading.ts";
import { CHANGE_SIZES, MAPPING_SIZES, type Sizes } from "./sizes.ts";
import { SYNCS } from "./sync.ts";

function refused(all: Readonly<Record<number, Sizes>>, errno: Errno): Entry[] {
  return Object.entries(all).map(([opcode, sizes]) =>
    reading(Number(opcode), ...sizes, () => -errno),
  );
}

export const READ_ONLY_OPERATIONS: ReadonlyMap<number, Operation> = new Map([
  ...READING,
  ...SYNCS,
  ...refused(CHANGE_SIZES, Errno.EROFS),
  ...refused(MAPPING_SIZES, Errno.ENOSYS),
]);
