// The scheduler: first in, first out, cooperative. A thread runs until it yields, waits or ends;
// when none is ready the guest returns to the host, which is its halt.
import { Errno } from "../abi/errno";
import { arenaDrop, useArena } from "./arena/arena";
import { arch_enter, arch_leave } from "./arch/asyncify";
import { beat, NEVER } from "./clock";
import {
  arenaOf,
  destroyThread,
  findThread,
  joinersOf,
  joinQueue,
  leaveQueues,
  NO_THREAD,
  Thread,
  ThreadEntry,
  ThreadState,
  timerOf,
  WaitQueue,
} from "./thread";
import { startTimer, stopTimer } from "./timer";
import { traceRing, tracedEnter } from "./trace";

let current: Thread = NO_THREAD;
let firstReady: Thread | null = null;
let lastReady: Thread | null = null;
let scheduling: bool = false;
let switches: u64 = 0;
let atomic: u32 = 0; // depth of calls that never yield

/** The running thread, or NO_THREAD in interrupts and at boot. */
export function self(): Thread {
  return current;
}

/** Threads entered since boot. */
export function switchCount(): u64 {
  return switches;
}

/**
 * From here to endAtomic() nothing yields. The build takes functions that call through the table
 * for leaves if they do it between the two (tools/leaves.mjs): then neither they nor their callers
 * are instrumented, and a yield below them could not save their frames.
 */
export function beginAtomic(): void {
  atomic++;
}

export function endAtomic(): void {
  atomic--;
}

/** May the running code yield? Not in interrupts, at boot, nor in an atomic call. */
export function mayYield(): bool {
  return current != NO_THREAD && atomic == 0;
}

/** Puts a thread at the end of the run queue. */
export function makeReady(thread: Thread): void {
  thread.state = ThreadState.Ready;
  thread.next = null;
  const last = lastReady;
  if (last) last.next = thread;
  else firstReady = thread;
  lastReady = thread;
}

/**
 * Lets the other ready threads run first. Yields, also when there are none: the switch is counted,
 * so that a thread in a loop of it comes to the end of the budget.
 */
export function yieldNow(): void {
  assert(current != NO_THREAD, "outside a thread");
  makeReady(current);
  assert(atomic == 0, "yield in an atomic call");
  arch_leave(current);
}

/** Gives up the CPU until resume(). Yields. */
export function suspendSelf(): void {
  assert(current != NO_THREAD, "outside a thread");
  current.state = ThreadState.Suspended;
  assert(atomic == 0, "yield in an atomic call");
  arch_leave(current);
}

/**
 * Waits in `queue` until woken or `deadlineNs`. Yields; a killed thread does not return unless it
 * is shielded. Returns 0, -ETIMEDOUT, or -EINTR (see setInterruptible). The caller must check its
 * condition again: other threads may have run in between.
 */
export function wait(queue: WaitQueue, deadlineNs: u64): i32 {
  assert(current != NO_THREAD, "scheduler: wait outside a thread");
  if (current.ending && current.interruptible) return -Errno.EINTR;
  joinQueue(current, 0, queue);
  return block(deadlineNs);
}

/** As wait(), in the queues that the caller has joined; without any it is a sleep. Yields. */
export function block(deadlineNs: u64): i32 {
  const thread = current;
  assert(thread != NO_THREAD, "outside a thread");
  thread.state = ThreadState.Waiting;
  if (deadlineNs != NEVER) {
    const timer = timerOf(thread);
    timer.handler = (timeOut as (arg: usize) => void).index;
    startTimer(timer, deadlineNs);
  }
  assert(atomic == 0, "yield in an atomic call");
  arch_leave(thread);
  thread.wokenBy = null;
  return thread.wakeReason;
}

function timeOut(arg: usize): void {
  wake(changetype<Thread>(arg), -Errno.ETIMEDOUT);
}

function wake(thread: Thread, reason: i32): void {
  stopTimer(timerOf(thread));
  leaveQueues(thread);
  thread.wakeReason = reason;
  if (traceRing != 0) thread.waker = current == NO_THREAD ? 0 : current.id;
  if (thread.suspended) thread.state = ThreadState.Suspended;
  else makeReady(thread);
}

/** Wakes every thread in the queue, oldest first. */
export function wakeAll(queue: WaitQueue): void {
  for (let node = queue.first; node; node = queue.first) wake(changetype<Thread>(node.object), 0);
}

/**
 * Wakes the `count` oldest threads. For queues that live as long as the kernel: a woken thread that
 * is killed or suspended before it has run passes its wake-up on.
 */
export function wakeSome(queue: WaitQueue, count: u32): void {
  for (let node = queue.first; node && count != 0; node = queue.first) {
    const thread = changetype<Thread>(node.object);
    if (!thread.suspended) {
      thread.wokenBy = queue;
      count--;
    }
    wake(thread, 0);
  }
}

/** A woken thread will not act on its wake-up, or not soon: the next one gets it. */
function passOn(thread: Thread): void {
  const queue = thread.wokenBy;
  thread.wokenBy = null;
  if (queue) wakeSome(queue, 1);
}

/** From here to unshield() a kill has to wait: a device may use the thread's buffers. */
export function shield(): void {
  current.shields++;
}

/** Ends a shield(); a thread that was killed meanwhile does not return. Yields only to die. */
export function unshield(): void {
  const thread = current;
  thread.shields--;
  assert(atomic == 0, "yield in an atomic call");
  if (thread.ending && thread.shields == 0) arch_leave(thread);
}

/** While it is on, a kill ends the running thread's waits with -EINTR, although it is shielded. */
export function setInterruptible(on: bool): void {
  current.interruptible = on;
}

/** Was the running thread killed? Only a shielded one can see it. */
export function isKilled(): bool {
  return current.ending;
}

/** Ends the running thread. Does not return. */
export function endSelf(): void {
  const thread = current;
  assert(thread != NO_THREAD, "outside a thread");
  thread.ending = true;
  assert(thread.shields == 0, "scheduler: a shielded thread ends");
  assert(atomic == 0, "yield in an atomic call");
  arch_leave(thread);
}

/** Ends another thread at its next turn, and frees what the kernel had lent it. */
export function kill(thread: Thread): void {
  thread.ending = true;
  resume(thread); // until its end, or the end of its shield
  if (thread.state != ThreadState.Waiting) return;
  if (thread.shields == 0) wake(thread, 0);
  else if (thread.interruptible) wake(thread, -Errno.EINTR);
}

/**
 * Marks a thread that is not running: it stops when its turn comes, or stays where it waits. One
 * that was killed goes on to its end.
 */
export function suspend(thread: Thread): void {
  thread.suspended = !thread.ending;
}

export function resume(thread: Thread): void {
  thread.suspended = false;
  if (thread.state == ThreadState.Suspended) makeReady(thread);
}

/** Frees a dead thread, with its save area, on which nothing runs any more. */
function bury(thread: Thread): void {
  passOn(thread);
  wakeAll(joinersOf(thread));
  destroyThread(thread);
}

/**
 * Runs ready threads, at most `budget` of them; returns how much of it is left, 0 when threads may
 * still be ready. Never called from a thread: it would unwind the host's frames.
 */
export function schedule(budget: u32): u32 {
  assert(!scheduling, "scheduler: entered twice");
  scheduling = true;
  while (budget != 0) {
    const thread = firstReady;
    if (!thread) break;
    const next = thread.next;
    firstReady = next;
    if (!next) lastReady = null;
    if (thread.ending && thread.shields == 0) {
      bury(thread);
      continue;
    }
    if (thread.suspended) {
      thread.state = ThreadState.Suspended;
      passOn(thread);
      continue;
    }
    budget--;
    switches++;
    beat();
    thread.state = ThreadState.Running;
    current = thread;
    useArena(arenaOf(thread));
    const alive = traceRing == 0 ? arch_enter(thread) : tracedEnter(thread);
    current = NO_THREAD;
    useArena(null);
    if (!alive || (thread.ending && thread.shields == 0)) bury(thread);
  }
  scheduling = false;
  return budget;
}

export function isIdle(): bool {
  return !firstReady;
}

/** Waits for the end of thread `id`. Yields. Returns 0, -ESRCH (it has ended) or -ETIMEDOUT. */
export function join(id: i32, deadlineNs: u64): i32 {
  const thread = findThread(id);
  if (thread == NO_THREAD) return -Errno.ESRCH;
  if (thread == current) return -Errno.EDEADLK;
  return wait(joinersOf(thread), deadlineNs);
}

/**
 * From here on, when the application throws in the running thread, the thread starts again with
 * entry(arg): once, unless it calls this again.
 */
export function setFaultEntry(entry: ThreadEntry, arg: usize): void {
  assert(current != NO_THREAD, "outside a thread");
  current.faultEntry = entry.index;
  current.faultArg = arg;
}

/**
 * May the running thread be cut off where it is? No device has its buffers, and no frames of the
 * kernel that others count on are on the stack.
 */
export function survivesFault(): bool {
  return current != NO_THREAD && current.faultEntry != 0 && current.shields == 0 && atomic == 0;
}

/** After the host has discarded the frames of the running thread: it starts at its fault entry. */
export function restartFaulted(): void {
  const thread = current;
  assert(scheduling && survivesFault(), "scheduler: no thread has faulted");
  current = NO_THREAD;
  scheduling = false;
  useArena(null);
  arenaDrop(arenaOf(thread));
  thread.entry = thread.faultEntry;
  thread.arg = thread.faultArg;
  thread.faultEntry = 0;
  thread.started = false;
  makeReady(thread);
}
