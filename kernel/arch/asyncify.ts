// How threads switch: the only file that knows Asyncify. The pass classifies functions by the
// intrinsics that they call. A function with start_unwind or stop_rewind is not instrumented, but
// its callers are; a function with start_rewind or stop_unwind is not instrumented, nor are its
// callers. Inlining one of them would silently change the class of its caller: the build marks
// arch_* no-inline.

declare function start_unwind(context: usize): void;
declare function stop_unwind(): void;
declare function start_rewind(context: usize): void;
declare function stop_rewind(): void;

/** A suspended call stack. `sp` and `limit` are Asyncify's own words and come first. */
@unmanaged
export class Context {
  sp: usize; // next free byte of the save area, which grows up
  limit: usize; // end of the save area
  base: usize; // start of the save area
  entry: u32; // table index of a function (arg: usize): void
  arg: usize;
  started: bool;
}

const enum Mode {
  Running, // or no thread at all
  Leaving, // unwinding towards arch_enter
  Resuming, // rewinding towards arch_leave
}
let mode: Mode = Mode.Running;

/** Thread side: gives up the CPU. Returns when the scheduler enters this context again. Yields. */
export function arch_leave(context: Context): void {
  if (mode == Mode.Resuming) {
    mode = Mode.Running;
    stop_rewind();
  } else {
    mode = Mode.Leaving;
    start_unwind(changetype<usize>(context));
  }
}

/** Scheduler side: runs `context` until it leaves (true) or its entry function returns (false). */
export function arch_enter(context: Context): bool {
  if (context.started) {
    mode = Mode.Resuming;
    start_rewind(changetype<usize>(context));
  } else {
    context.started = true;
    context.sp = context.base;
  }
  call_indirect<void>(context.entry, context.arg);
  if (mode != Mode.Leaving) return false;
  mode = Mode.Running;
  // stop_unwind would trap without a message, after memory beyond the area was written.
  assert(context.sp <= context.limit, "thread: save area overflow");
  stop_unwind();
  return true;
}
