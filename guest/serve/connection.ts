// serve()'s state of a connection: a block of the heap, which survives a fault of its thread.
import {
  Errno,
  nowNs,
  NS_PER_MS,
  SO_RCVTIMEO,
  spanAddress,
  spanBytes,
  SysEndThread,
  SysSocketClose,
  SysSocketPeek,
  SysSocketRecv,
  SysSocketReset,
  SysSocketSend,
  SysSocketSetOption,
  SysSocketShutdown,
  text,
  ToroAllocMem,
  ToroFreeMem,
} from "../../kernel/api";
import { putEnd, putLength, putStartWith } from "../http/response";
import { putText } from "../http/text";
import { phraseOf } from "./phrase";

@unmanaged
export class Connection {
  socket: i32;
  sent: bool; // some of the response to the present request
  closing: bool; // after this response
  deadlineNs: u64; // for what is received at present
}

const LINGER_MS: u32 = 2000;
const SHUTDOWN_SEND: i32 = 1;
const DISCARD_BYTES: u32 = 4096;
const discarded: usize = memory.data(4096); // nobody reads it
const REFUSAL_BYTES: u32 = 512;

let count: u32 = 0;

/** Connections that are open. */
export function connectionCount(): u32 {
  return count;
}

/** Null: no memory. */
export function openConnection(socket: i32): Connection | null {
  const address = ToroAllocMem(offsetof<Connection>());
  if (address == 0) return null;
  count++;
  const c = changetype<Connection>(address);
  c.socket = socket;
  return c;
}

export function closeConnection(c: Connection): void {
  SysSocketClose(c.socket);
  ToroFreeMem(changetype<usize>(c));
  count--;
}

/** From now on receive() waits until `ms` milliseconds have passed, and no longer. */
export function allow(c: Connection, ms: u32): void {
  c.deadlineNs = nowNs() + <u64>ms * NS_PER_MS;
}

/** Receives or peeks, up to the deadline: then -EAGAIN. 0: the client sends no more. Yields. */
export function receive(c: Connection, at: usize, bytes: u32, peek: bool): i32 {
  const now = nowNs();
  if (now >= c.deadlineNs) return -Errno.EAGAIN;
  SysSocketSetOption(c.socket, SO_RCVTIMEO, <u32>((c.deadlineNs - now) / NS_PER_MS) + 1);
  return peek ? SysSocketPeek(c.socket, at, bytes, 0) : SysSocketRecv(c.socket, at, bytes, 0);
}

/** Takes up to `bytes` bytes and forgets them. Yields. Returns how many, 0 or an error. */
export function discard(c: Connection, bytes: u64): i32 {
  return receive(c, discarded, <u32>min<u64>(bytes, DISCARD_BYTES), false);
}

/** Answers in place of a handler, with the phrase as the body; ends the connection. Yields. */
export function refuse(c: Connection, status: u32): void {
  const block = ToroAllocMem(REFUSAL_BYTES);
  if (block != 0) {
    const phrase = phraseOf(status);
    let end = putText(putStartWith(block, status, phrase), text("Content-Type: text/plain\r\n"));
    end = putEnd(putLength(end, spanBytes(phrase) + 1), false);
    end = putText(putText(end, phrase), text("\n"));
    SysSocketSend(c.socket, block, <u32>(end - block), 0);
    ToroFreeMem(block);
  }
  linger(c);
}

/** Ends the connection and the thread in the middle of a handler. Does not return. */
export function abandon(c: Connection, status: u32): void {
  if (status == 0 || c.sent) SysSocketReset(c.socket);
  else refuse(c, status);
  closeConnection(c);
  SysEndThread();
}

/** The fault entry of a connection's thread: its handler threw. Yields. */
export function recover(arg: usize): void {
  const c = changetype<Connection>(arg);
  if (c.sent) SysSocketReset(c.socket);
  else refuse(c, 500);
  closeConnection(c);
}

/** `100 Continue` (RFC 9110, 10.1.1). Yields. */
export function sendContinue(c: Connection): void {
  const line = text("HTTP/1.1 100 Continue\r\n\r\n");
  SysSocketSend(c.socket, spanAddress(line), spanBytes(line), 0);
}

/**
 * Keeps reading after the last answer: closing with unread bytes would reset the connection, and
 * the client might lose the end of the answer (RFC 9112, 9.6). Yields.
 */
export function linger(c: Connection): void {
  if (SysSocketShutdown(c.socket, SHUTDOWN_SEND) < 0) return;
  allow(c, LINGER_MS);
  while (discard(c, DISCARD_BYTES) > 0) continue;
}
