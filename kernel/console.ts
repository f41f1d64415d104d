// The console. Text is gathered into lines, because a firmware call costs microseconds. While the
// host takes no output, threads that print wait. Boot, interrupts and atomic calls cannot wait: the
// host keeps their text as long as it has room, and then the lost bytes are counted.
import { consoleIsFull, NEVER } from "./clock";
import { mayYield, wait, wakeAll } from "./scheduler";
import { WaitQueue } from "./thread";
import { fd_write } from "./wasi_snapshot_preview1";

const STDOUT: u32 = 1;
const LINE_BYTES: u32 = 256;
const line: usize = memory.data(256);
const iov: usize = memory.data(16);
export const CONSOLE_WRITERS: usize = memory.data(offsetof<WaitQueue>());
const writers = changetype<WaitQueue>(CONSOLE_WRITERS);
let used: u32 = 0;
let lostBytes: u64 = 0; // not yet reported

/** Writes a byte of UTF-8, and flushes at a newline or a full line. Yields while it is full. */
export function putByte(byte: u32): void {
  store<u8>(line + used++, byte);
  if (byte == 10 || used == LINE_BYTES) flushConsole();
}

/** Hands the gathered text over. Yields while the console is full, if the caller may yield. */
export function flushConsole(): void {
  handOver();
  if (lostBytes != 0 && !consoleIsFull()) reportLost();
  while (consoleIsFull() && mayYield()) wait(writers, NEVER);
}

/** The same without waiting, for a guest that is about to end. Does not yield. */
export function handOver(): void {
  const bytes = used;
  used = 0;
  if (bytes != 0) lostBytes += bytes - send(bytes);
}

/** The guest has been entered: threads that wait to print try again if there is room. */
export function consoleEntered(): void {
  if (!consoleIsFull()) wakeAll(writers);
}

/** Returns how many of the bytes in `line` the host has taken. */
function send(bytes: u32): u32 {
  const written = iov + 8;
  store<u32>(iov, <u32>line);
  store<u32>(iov, bytes, 4);
  store<u32>(written, 0);
  return fd_write(STDOUT, iov, 1, written) == 0 ? load<u32>(written) : 0;
}

function reportLost(): void {
  const bytes = lostBytes;
  lostBytes = 0;
  print("console: bytes left out: ");
  printNumber(bytes);
  print("\n");
}

/** Writes a static string. Yields while the console is full. */
export function print(text: string): void {
  const end = changetype<usize>(text) + (<usize>text.length << 1);
  for (let p = changetype<usize>(text); p < end; p += 2) {
    let code: u32 = load<u16>(p);
    if ((code & 0xfc00) == 0xd800 && p + 2 < end) {
      p += 2;
      code = 0x10000 + ((code & 0x3ff) << 10) + (load<u16>(p) & 0x3ff);
    }
    putUtf8(code);
  }
}

function putUtf8(code: u32): void {
  if (code < 0x80) return putByte(code);
  if (code < 0x800) {
    putByte(0xc0 | (code >> 6));
  } else {
    if (code < 0x10000) {
      putByte(0xe0 | (code >> 12));
    } else {
      putByte(0xf0 | (code >> 18));
      putByte(0x80 | ((code >> 12) & 63));
    }
    putByte(0x80 | ((code >> 6) & 63));
  }
  putByte(0x80 | (code & 63));
}

/**
 * Writes bytes from outside. All but printable ASCII becomes '?', so a peer cannot forge lines.
 */
export function printBytes(address: usize, bytes: u32): void {
  for (let i: u32 = 0; i < bytes; i++) {
    const byte: u32 = load<u8>(address + i);
    putByte(byte < 0x20 || byte > 0x7e ? 0x3f : byte);
  }
}

/** Writes a number in decimal. Yields while the console is full. */
export function printNumber(value: u64): void {
  if (value >= 10) printNumber(value / 10);
  putByte(0x30 + <u32>(value % 10));
}
