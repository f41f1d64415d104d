// The host's file descriptors may be short for a moment, when many files are opened at once. A
// request waits for one instead of failing: those that others opened are about to be closed.
import { Errno, Sleep, SysOpenFile, SysStatFile } from "torito/kernel/api";
import { Event, note } from "./events";

const PAUSE_MS: u32 = 10;
/** For 5 s. */
const TRIES_MAX: u32 = 500;

/** SysOpenFile() that waits for a descriptor. Yields. */
export function openPatiently(path: usize, bytes: u32, flags: u32): i32 {
  let file = SysOpenFile(path, bytes, flags);
  for (let tries: u32 = 0; isWorthAnotherTry(file, tries); tries++) {
    file = SysOpenFile(path, bytes, flags);
  }
  return file;
}

/** SysStatFile() that waits for a descriptor. Yields. */
export function statPatiently(path: usize, bytes: u32, stat: usize): i32 {
  let status = SysStatFile(path, bytes, stat);
  for (let tries: u32 = 0; isWorthAnotherTry(status, tries); tries++) {
    status = SysStatFile(path, bytes, stat);
  }
  return status;
}

/** Only what failed for want of descriptors is, a moment later. Yields if it is. */
function isWorthAnotherTry(status: i32, tries: u32): bool {
  if (status != -Errno.EMFILE && status != -Errno.ENFILE) return false;
  if (tries == TRIES_MAX) {
    note(Event.NoDescriptor);
    return false;
  }
  Sleep(PAUSE_MS);
  return true;
}
