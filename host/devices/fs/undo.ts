// Undoing an operation that fails half-way, as far as the host permits: the guest gets an error, so
// nothing must be left.
import type { FileChanges, FileStat, Files } from "../../ports/files.ts";
import { errnoOf } from "./errno.ts";
import type { Node } from "./nodes/node.ts";

/** Runs body; if it throws, runs `undo` first. */
export function orUndo<T>(body: () => T, undo: () => void): T {
  try {
    return body();
  } catch (error) {
    undo();
    throw error;
  }
}

/** Runs cleanup, ignoring failure. */
export function quietly(body: () => void): void {
  try {
    body();
  } catch (error) {
    errnoOf(error);
  }
}

/** Runs body; -Errno if it throws. */
export function orErrno<T>(body: () => T): T | number {
  try {
    return body();
  } catch (error) {
    return errnoOf(error);
  }
}

/** Removes a new entry, if it is still the same inode. */
export function unmake(
  changes: FileChanges,
  files: Files,
  parent: Node,
  name: Uint8Array,
  made: Pick<FileStat, "dev" | "ino">,
): void {
  quietly(() => {
    const now = files.peek(parent.inode, name);
    if (now !== null && now.dev === made.dev && now.ino === made.ino) {
      changes.unlink(parent.inode, name);
    }
  });
}
