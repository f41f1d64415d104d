// Several clients at the same time, each with a thread that receives from it.
import {
  BeginThread,
  Errno,
  parameterNumber,
  print,
  printNumber,
  Sleep,
  SysSocketAccept,
  SysSocketClose,
  SysSocketPeek,
  ToroGetAlignedMem,
} from "torito/kernel/api";
import { failed } from "torito/guest/server";
import { borrow, receive } from "./receive";

const NAME = "rx-zerocopy";
const PAGE_BYTES: u32 = 4096;
const PAUSE_MS: u32 = 1;
const THREADS_MAX: u32 = 64;

const first: usize = memory.data(1);
let stepBytes: u32 = 0;
let isLending: bool = false;
let begun: u32 = 0;
let ended: u32 = 0;
let error: i32 = 0;
let total: u64 = 0;

/**
 * Receives from `count` clients, up to 64; those that close without a byte, as probes do, do not
 * count. Yields. Returns an exit code.
 */
export function serveTogether(listener: i32, count: u32, step: u32, lends: bool): i32 {
  const wanted = min(count, THREADS_MAX);
  stepBytes = step;
  isLending = lends;
  while (begun < wanted) {
    const socket = SysSocketAccept(listener);
    if (socket < 0) return failed(NAME, "accept", socket);
    if (SysSocketPeek(socket, first, 1, 0) == 0) {
      SysSocketClose(socket);
      continue;
    }
    begun++;
    const thread = BeginThread(serve, socket, 0);
    if (thread < 0) return failed(NAME, "thread", thread);
  }
  while (ended < wanted) Sleep(PAUSE_MS);
  if (error < 0) return failed(NAME, "transfer", error);
  print("rx-zerocopy: ");
  printNumber(total);
  print(" bytes together\n");
  return 0;
}

function serve(socket: usize): void {
  const pauseMs = begun == 1 ? parameterNumber("slow", 0) : 0;
  const moved = isLending ? borrow(<i32>socket, stepBytes, pauseMs) : copy(<i32>socket, pauseMs);
  SysSocketClose(<i32>socket);
  if (moved < 0) error = <i32>moved;
  else total += moved;
  ended++;
}

function copy(socket: i32, pauseMs: u32): i64 {
  const buffer = ToroGetAlignedMem(stepBytes, PAGE_BYTES);
  return buffer == 0 ? -Errno.ENOMEM : receive(socket, buffer, stepBytes, pauseMs);
}
