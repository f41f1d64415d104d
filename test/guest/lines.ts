// Answers each line with its length and itself: for test/library/lines.test.ts.
import { failed, LineReader, scope, serveForever } from "torito/guest";
import { SOCK_STREAM, SysSocketClose, SysSocketSend } from "torito/kernel/api";

let reader: LineReader = changetype<LineReader>(0);
let ended = false;

function converse(socket: usize): void {
  // One connection at a time: what the body of the scope needs stands in variables of this file.
  reader = new LineReader(<i32>socket, 16);
  current = <i32>socket;
  ended = false;
  while (!ended) scope(answer);
  reader = changetype<LineReader>(0);
  SysSocketClose(<i32>socket);
}

let current = 0;

function answer(_: usize): void {
  const line = reader.next();
  if (line === null) ended = true;
  const text = line === null ? `error ${reader.error}` : `${line.length} ${line}\n`;
  const bytes = String.UTF8.encode(text);
  SysSocketSend(current, changetype<usize>(bytes), bytes.byteLength, 0);
}

export function main(): i32 {
  return failed("lines", "listen", serveForever("lines", SOCK_STREAM, 7, 8, converse));
}
