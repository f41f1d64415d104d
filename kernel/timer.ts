// Timers: a binary heap by deadline. The owner of a timer reserves its place in advance, so that
// starting it cannot fail.
import { Errno } from "../abi/errno";
import { NEVER } from "./clock";
import { ToroReAllocMem } from "./memory";

/** Embedded in its owner. Zeroed is stopped. */
@unmanaged
export class Timer {
  deadlineNs: u64;
  place: u32; // in the heap, from 1; 0: not running
  handler: u32; // table index of a function (arg: usize): void; it never yields, and any timer
  // that it starts must be due later
  arg: usize;
}

let heap: usize = 0; // u32 addresses of timers; place 0 is unused
let places: u32 = 0;
let reserved: u32 = 0;
let running: u32 = 0;

/** Makes room for one more timer. Returns 0 or -ENOMEM. */
export function reserveTimer(): i32 {
  if (reserved + 1 >= places) {
    const grown: u32 = places == 0 ? 64 : places * 2;
    const moved = ToroReAllocMem(heap, grown << 2);
    if (moved == 0) return -Errno.ENOMEM;
    heap = moved;
    places = grown;
  }
  reserved++;
  return 0;
}

/** Gives the place back; the timer is not running. */
export function unreserveTimer(): void {
  reserved--;
}

function at(place: u32): Timer {
  return changetype<Timer>(<usize>load<u32>(heap + (<usize>place << 2)));
}

function put(place: u32, timer: Timer): void {
  store<u32>(heap + (<usize>place << 2), <u32>changetype<usize>(timer));
  timer.place = place;
}

function siftUp(place: u32, timer: Timer): void {
  while (place > 1) {
    const parent = at(place >> 1);
    if (parent.deadlineNs <= timer.deadlineNs) break;
    put(place, parent);
    place >>= 1;
  }
  put(place, timer);
}

function siftDown(place: u32, timer: Timer): void {
  while (true) {
    let child = place << 1;
    if (child > running) break;
    if (child < running && at(child + 1).deadlineNs < at(child).deadlineNs) child++;
    if (timer.deadlineNs <= at(child).deadlineNs) break;
    put(place, at(child));
    place = child;
  }
  put(place, timer);
}

/** Starts the timer, or moves its deadline. At NEVER it stays stopped. */
export function startTimer(timer: Timer, deadlineNs: u64): void {
  stopTimer(timer);
  if (deadlineNs == NEVER) return;
  timer.deadlineNs = deadlineNs;
  siftUp(++running, timer);
}

export function stopTimer(timer: Timer): void {
  const place = timer.place;
  if (place == 0) return;
  timer.place = 0;
  const last = at(running--);
  if (last == timer) return;
  siftDown(place, last);
  siftUp(last.place, last);
}

/** Calls the handlers that are due. */
export function runTimers(nowNs: u64): void {
  while (running != 0) {
    const first = at(1);
    if (first.deadlineNs > nowNs) return;
    stopTimer(first);
    call_indirect<void>(first.handler, first.arg);
  }
}

export function nextDeadline(): u64 {
  return running == 0 ? NEVER : at(1).deadlineNs;
}
