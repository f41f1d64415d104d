// Toro's thread calls.
import { Errno } from "../abi/errno";
import { deadlineAfterMs } from "./clock";
import {
  block,
  endSelf,
  join,
  kill,
  makeReady,
  resume,
  self,
  setFaultEntry,
  suspend,
  suspendSelf,
  yieldNow,
} from "./scheduler";
import { createThread, findThread, NO_THREAD, ThreadEntry } from "./thread";

/**
 * Starts a thread that runs entry(arg) and ends when it returns. Its suspended call stack may take
 * `stackBytes`, at about 16 bytes a frame and at most 16 MiB; 0 is the default of 4 KiB.
 * Returns its id, -EINVAL, -ENOMEM or -ENFILE (65,536 threads). Does not yield.
 */
export function BeginThread(entry: ThreadEntry, arg: usize, stackBytes: u32): i32 {
  const id = createThread(entry.index, arg, stackBytes);
  if (id > 0) makeReady(findThread(id));
  return id;
}

/** Lets every other ready thread run once. Yields. */
export function SysThreadSwitch(): void {
  yieldNow();
}

/**
 * Suspends thread `id`, or the caller for 0, until SysResumeThread. Returns 0 or -ESRCH. Yields.
 */
export function SysSuspendThread(id: i32): i32 {
  const thread = id == 0 ? self() : findThread(id);
  if (thread == NO_THREAD) return -Errno.ESRCH;
  if (thread == self()) suspendSelf();
  else suspend(thread);
  return 0;
}

/** Lets a suspended thread run again. Returns 0 or -ESRCH. */
export function SysResumeThread(id: i32): i32 {
  const thread = findThread(id);
  if (thread == NO_THREAD) return -Errno.ESRCH;
  resume(thread);
  return 0;
}

/**
 * Ends thread `id`: its call stack is dropped, its joiners wake, and the kernel frees what it had
 * lent the thread. A request that a device works on finishes first, and the device gives the
 * buffers of a send back: a peer that takes nothing of them for 8 s is reset. Sockets, files and
 * memory belong to the application and stay. Returns 0 or -ESRCH.
 */
export function SysKillThread(id: i32): i32 {
  const thread = findThread(id);
  if (thread == NO_THREAD) return -Errno.ESRCH;
  if (thread == self()) endSelf();
  else kill(thread);
  return 0;
}

/** Ends the caller. Does not return. */
export function SysEndThread(): void {
  endSelf();
}

/**
 * Waits until thread `id` has ended; timeoutMs < 0 waits forever. Yields. Returns 0, -ESRCH for no
 * such thread (any more), -EDEADLK for the caller itself, or -ETIMEDOUT.
 */
export function SysJoinThread(id: i32, timeoutMs: i64): i32 {
  return join(id, deadlineAfterMs(timeoutMs));
}

/** The caller's id. */
export function SysThreadSelf(): i32 {
  return self().id;
}

/** Sleeps for at least `ms` milliseconds. Yields. */
export function Sleep(ms: u32): void {
  block(deadlineAfterMs(ms));
}

/**
 * When the application throws in the calling thread (a failed assertion, an index out of range, an
 * arena that is full), the thread's call stack and objects are discarded, and it starts again with
 * entry(arg). Sockets, files and ToroGetMem's memory stay as they are. A throw in `entry` ends the
 * machine, unless this has been called again. Does not yield.
 */
export function SysOnFault(entry: ThreadEntry, arg: usize): void {
  setFaultEntry(entry, arg);
}
