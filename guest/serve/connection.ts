// serve()'s state of a connection: a block of the heap, which survives a fault of its thread.
import {
  nowNs,
  NS_PER_MS,
  spanAddress,
  spanBytes,
  SysEndThread,
  SysSocketClose,
  SysSocketReset,
  SysSocketSend,
  text,
  ToroAllocMem,
  ToroFreeMem,
} from "../../kernel/api";
import { putEnd, putLength, putStartWith } from "../http/response";
import { putText } from "../http/text";
import { linger } from "../receive";
import { phraseOf } from "./phrase";

@unmanaged
export class Connection {
  socket: i32;
  sent: bool; // some of the response to the present request
  closing: bool; // after this response
  deadlineNs: u64; // for what is received at present
}

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

/** The deadline for receiving is `ms` milliseconds from now. */
export function allow(c: Connection, ms: u32): void {
  c.deadlineNs = nowNs() + <u64>ms * NS_PER_MS;
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
  linger(c.socket);
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
