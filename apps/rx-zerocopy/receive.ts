// Receiving by copies and by loans, from a connection to its end.
import {
  clock,
  Loan,
  Sleep,
  SysSocketRecv,
  SysSocketRecvLoan,
  SysSocketRelease,
} from "torito/kernel/api";

const PAGE_BYTES: u32 = 4096;
const LOANS: u32 = 256;

/** Shared by all threads: nothing yields between a call that fills them and the use. */
const list: usize = memory.data(256 * 16);
const tokens: usize = memory.data(256 * 4);
let startedNs: u64 = 0; // at the first byte since begin()

/** A run begins: no byte has arrived. */
export function begin(): void {
  startedNs = 0;
}

/** When its first byte arrived. */
export function started(): u64 {
  return startedNs;
}

/** Notes the first byte of a run. */
export function noteFirst(): void {
  if (startedNs == 0) startedNs = clock();
}

/**
 * Receives by copies of up to `step` bytes, to the end, with a pause
 * before each. Yields. Returns bytes, or an error.
 */
export function receive(socket: i32, buffer: usize, step: u32, pauseMs: u32): i64 {
  let done: u64 = 0;
  while (true) {
    if (pauseMs != 0) Sleep(pauseMs);
    const got = SysSocketRecv(socket, buffer, step, 0);
    if (got < 0) return got;
    if (got == 0) break;
    noteFirst();
    done += got;
  }
  return done;
}

/** Receives by loans, up to one a page at a time, to the end. Yields. Returns as receive(). */
export function borrow(socket: i32, step: u32, pauseMs: u32): i64 {
  const most = min(LOANS, step / PAGE_BYTES);
  let done: u64 = 0;
  while (true) {
    if (pauseMs != 0) Sleep(pauseMs);
    const n = SysSocketRecvLoan(socket, list, most, 0);
    if (n < 0) return n;
    if (n == 0) break;
    noteFirst();
    for (let i = 0; i < n; i++) {
      const loan = changetype<Loan>(list + i * offsetof<Loan>());
      store<u32>(tokens + (i << 2), loan.token);
      done += loan.length;
    }
    SysSocketRelease(socket, tokens, n);
  }
  return done;
}
