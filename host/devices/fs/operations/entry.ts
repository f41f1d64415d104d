// An entry in the table of operations: a function, and what the server checks before it calls it:
// that the node exists, the arguments are complete and the fixed part of the reply fits. The
// function checks the rest.
import { Errno } from "../../../../abi/errno.ts";
import type { FileChanges } from "../../../ports/files.ts";
import type { Node } from "../nodes/node.ts";
import type { FuseRequest } from "../request.ts";
import type { Share } from "../share.ts";
import { CHANGE_SIZES, type Sizes } from "./sizes.ts";

/** Returns bytes of reply or -Errno; may throw what file calls throw. */
export type Serve = (share: Share, request: FuseRequest, node: Node) => number;

/** The same for an operation that changes something. */
export type Change = (
  changes: FileChanges,
  share: Share,
  request: FuseRequest,
  node: Node,
) => number;

export interface Operation {
  /** The least size of the arguments. */
  readonly argumentBytes: number;
  /** The fixed part of the reply. */
  readonly replyBytes: number;
  readonly serve: Serve;
}

/** An entry of a table of operations. */
export type Entry = [opcode: number, operation: Operation];

export function reading(
  opcode: number,
  argumentBytes: number,
  replyBytes: number,
  serve: Serve,
): Entry {
  return [opcode, { argumentBytes, replyBytes, serve }];
}

/** Answers EROFS if the guest may only read. */
export function changing(opcode: number, change: Change): Entry {
  const [argumentBytes, replyBytes] = CHANGE_SIZES[opcode] as Sizes;
  return reading(opcode, argumentBytes, replyBytes, (share, request, node) => {
    const { changes } = share;
    return changes === null ? -Errno.EROFS : change(changes, share, request, node);
  });
}
