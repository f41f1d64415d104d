// Threads and wait queues as data.
import { Errno } from "../abi/errno";
import { Arena, arenaDrop } from "./arena/arena";
import { Context } from "./arch/asyncify";
import { HandleTable } from "./handle";
import { List, ListNode } from "./list";
import { ToroAllocMem, ToroFreeMem, ToroGetMem } from "./memory";
import { reserveTimer, Timer, unreserveTimer } from "./timer";

export type ThreadEntry = (arg: usize) => void;

export const enum ThreadState {
  Ready, // created, woken or yielding: in the run queue
  Running, // the one that has the CPU
  Waiting, // in wait queues, or asleep
  Suspended, // SysSuspendThread: until SysResumeThread
}

/** A FIFO of waiting threads: the objects of its nodes. Zeroed is empty. */
@unmanaged
export class WaitQueue extends List {}

/** A cooperative thread; its save area follows it in the same block. */
@unmanaged
export class Thread extends Context {
  id: i32;
  state: ThreadState;
  next: Thread | null; // in the run queue
  wakeReason: i32; // 0: woken; -ETIMEDOUT or -EINTR
  suspended: bool; // becomes Suspended once it is ready
  ending: bool; // dies at its next turn, unless shielded
  shields: u32; // > 0: a device has its buffers, so it must run until they are back
  interruptible: bool; // a kill ends its waits, even shielded
  nodes: ListNode; // its places while it waits: its own three, or allocated ones
  nodeCount: u32;
  waker: i32; // for a trace: the thread that made it ready, 0: none
  wokenBy: WaitQueue | null; // whose wake-up it has not acted on yet (see wakeSome)
  faultEntry: u32; // table index; it starts again there when the application throws, 0: no
  faultArg: usize;
}

// Embedded parts: asc has no embedded structs, so they follow the class by offset.
const OWN_NODES: usize = offsetof<Thread>();
/** Enough to select on one socket, which must not fail for want of memory. */
const OWN_NODE_COUNT: u32 = 3;
export const THREAD_TIMER: usize = (OWN_NODES + OWN_NODE_COUNT * offsetof<ListNode>() + 7) & ~7;
export const THREAD_JOINERS: usize = THREAD_TIMER + offsetof<Timer>();
const ARENA: usize = THREAD_JOINERS + offsetof<WaitQueue>();
const THREAD_BYTES: usize = (ARENA + offsetof<Arena>() + 15) & ~15;

/** Unoptimised code keeps more locals in its frames. */
export const SAVE_BYTES_DEFAULT: u32 = ASC_OPTIMIZE_LEVEL > 0 ? 4096 : 16384;
const SAVE_BYTES_MIN: u32 = 512;
const SAVE_BYTES_MAX: u32 = 1 << 24;
/**
 * An overrun of the save area is detected after the write; this gap makes small ones harmless.
 */
const GUARD_BYTES: u32 = 512;

export const NO_THREAD: Thread = changetype<Thread>(0);

export const THREAD_TABLE: usize = memory.data(offsetof<HandleTable>());
const threads = changetype<HandleTable>(THREAD_TABLE);

export function timerOf(thread: Thread): Timer {
  return changetype<Timer>(changetype<usize>(thread) + THREAD_TIMER);
}

export function joinersOf(thread: Thread): WaitQueue {
  return changetype<WaitQueue>(changetype<usize>(thread) + THREAD_JOINERS);
}

export function arenaOf(thread: Thread): Arena {
  return changetype<Arena>(changetype<usize>(thread) + ARENA);
}

function ownNodesOf(thread: Thread): ListNode {
  return changetype<ListNode>(changetype<usize>(thread) + OWN_NODES);
}

/** The thread called `id`, or null. */
export function findThread(id: i32): Thread {
  return changetype<Thread>(threads.get(id));
}

export function threadCount(): u32 {
  return threads.count;
}

/**
 * Makes a thread that is in no queue yet. Returns its id, or -EINVAL (saveBytes), -ENOMEM or
 * -ENFILE. destroyThread gives everything back.
 */
export function createThread(entry: u32, arg: usize, saveBytes: u32): i32 {
  if (saveBytes > SAVE_BYTES_MAX) return -Errno.EINVAL;
  const bytes = max<u32>(saveBytes == 0 ? SAVE_BYTES_DEFAULT : saveBytes, SAVE_BYTES_MIN);
  const address = ToroGetMem(THREAD_BYTES + bytes + GUARD_BYTES);
  if (address == 0) return -Errno.ENOMEM;
  memory.fill(address, 0, THREAD_BYTES);
  const reserved = reserveTimer();
  const id = reserved < 0 ? reserved : threads.add(address);
  if (id < 0) {
    if (reserved == 0) unreserveTimer();
    ToroFreeMem(address);
    return id;
  }
  const thread = changetype<Thread>(address);
  thread.base = address + THREAD_BYTES;
  thread.limit = thread.base + bytes;
  thread.entry = entry;
  thread.arg = arg;
  thread.id = id;
  timerOf(thread).arg = address;
  thread.nodes = ownNodesOf(thread);
  thread.nodeCount = 1;
  for (let i: u32 = 0; i < OWN_NODE_COUNT; i++) nodeAt(thread, i).object = address;
  return id;
}

/** Frees a thread that has ended, with its objects: it is in no queue, and its timer is stopped. */
export function destroyThread(thread: Thread): void {
  for (let i: u32 = 0; i < thread.nodeCount; i++) assert(!nodeAt(thread, i).list, "in a list");
  arenaDrop(arenaOf(thread));
  threads.remove(thread.id);
  unreserveTimer();
  releaseNodes(thread);
  ToroFreeMem(changetype<usize>(thread));
}

/** Gives the thread `count` places to wait in at once, until releaseNodes. Returns 0 or -ENOMEM. */
export function allocateNodes(thread: Thread, count: u32): i32 {
  if (count <= OWN_NODE_COUNT) {
    thread.nodeCount = count;
    return 0;
  }
  const address = ToroAllocMem(count * offsetof<ListNode>());
  if (address == 0) return -Errno.ENOMEM;
  thread.nodes = changetype<ListNode>(address);
  thread.nodeCount = count;
  for (let i: u32 = 0; i < count; i++) nodeAt(thread, i).object = changetype<usize>(thread);
  return 0;
}

export function releaseNodes(thread: Thread): void {
  thread.nodeCount = 1;
  if (thread.nodes == ownNodesOf(thread)) return;
  ToroFreeMem(changetype<usize>(thread.nodes));
  thread.nodes = ownNodesOf(thread);
}

export function nodeAt(thread: Thread, i: u32): ListNode {
  return changetype<ListNode>(changetype<usize>(thread.nodes) + i * offsetof<ListNode>());
}

/** Puts place `i` of the thread at the end of `queue`. */
export function joinQueue(thread: Thread, i: u32, queue: WaitQueue): void {
  queue.append(nodeAt(thread, i));
}

/** Takes the thread out of every queue that it waits in. */
export function leaveQueues(thread: Thread): void {
  for (let i: u32 = 0; i < thread.nodeCount; i++) {
    const node = nodeAt(thread, i);
    const queue = node.list;
    if (queue) queue.remove(node);
  }
}
