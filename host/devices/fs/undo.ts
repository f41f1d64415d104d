// What is half made when a file call fails is taken back, as far as the host lets us: the guest was
// told that there is nothing.
import type { FileChanges, FileStat, Files } from "../../ports/files.ts";
import { errnoOf } from "./errno.ts";
import type { Node } from "./nodes/node.ts";

/** What body returns; when it throws, `undo` comes first. */
export function orUndo<T>(body: () => T, undo: () => void): T {
  try {
    return body();
  } catch (error) {
    undo();
    throw error;
  }
}

/** Does what may fail, and then cannot be helped. */
export function quietly(body: () => void): void {
  try {
    body();
  } catch (error) {
    errnoOf(error);
  }
}

/** What body returns or throws as its -Errno: for who has an answer to some of them. */
export function orErrno<T>(body: () => T): T | number {
  try {
    return body();
  } catch (error) {
    return errnoOf(error);
  }
}

/** Removes an entry that has just been made, if it still is what was made. */
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
