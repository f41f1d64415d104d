// The host's file descriptors may be short for a moment, when many files are opened at once. A
// request waits for one instead of failing: those that others opened are about to be closed.
import { Errno, Sleep, SysOpenFile, SysStatFile } from "torito/kernel/api";
import { Event, note } from "./events";

const PAUSE_MS: u32 = 10;
/** For 5 s. */
const TRIES_MAX: u32 = 500;

/** SysOpenFile() that waits for a descriptor. Yields. */
export function openPatiently(path: usize, bytes: u32, flags: u32): i32 {
  return ask(path, bytes, flags, 0);
}

/** SysStatFile() that waits for a descriptor. Yields. */
export function statPatiently(path: usize, bytes: u32, stat: usize): i32 {
  return ask(path, bytes, 0, stat);
}

/** Stats the file if there is a `stat`, otherwise opens it. */
function ask(path: usize, bytes: u32, flags: u32, stat: usize): i32 {
  let tries: u32 = 0;
  while (true) {
    const result = stat == 0 ? SysOpenFile(path, bytes, flags) : SysStatFile(path, bytes, stat);
    if (result != -Errno.EMFILE && result != -Errno.ENFILE) return result;
    if (tries++ == TRIES_MAX) {
      note(Event.NoDescriptor);
      return result;
    }
    Sleep(PAUSE_MS);
  }
}
