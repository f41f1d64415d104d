// One request of HTTP/1.1 on each connection, which has a thread of its own.
import { HEAD_BYTES_MAX, Method, parseRequest, Request } from "torito/guest/http/request";
import { reason } from "torito/guest/http/response";
import { SO_RCVTIMEO, SysSocketClose, SysSocketRecv, SysSocketSend } from "torito/kernel/api";
import { spanAddress, spanBytes, SysSocketSetOption, ToroFreeMem } from "torito/kernel/api";
import { ToroGetMem } from "torito/kernel/api";
import { answer, Answer } from "./api";

/** A client that sends nothing for this long is disconnected. */
const PATIENCE_MS: u32 = 10_000;

/** The thread of a connection. */
export function serve(arg: usize): void {
  const socket = <i32>arg;
  SysSocketSetOption(socket, SO_RCVTIMEO, PATIENCE_MS);
  const buffer = ToroGetMem(HEAD_BYTES_MAX + offsetof<RequestHead>());
  if (buffer != 0) {
    converse(socket, buffer);
    ToroFreeMem(buffer);
  }
  SysSocketClose(socket);
}

/** Reads a request into the buffer, the parsed head after it, and answers. */
function converse(socket: i32, buffer: usize): void {
  const request = changetype<RequestHead>(buffer + HEAD_BYTES_MAX);
  let received: u32 = 0;
  let head = 0;
  while (head == 0) {
    const bytes = SysSocketRecv(socket, buffer + received, HEAD_BYTES_MAX - received, 0);
    if (bytes <= 0) return;
    received += bytes;
    head = parseRequest(buffer, received, request);
  }
  if (head < 0) return send(socket, new Answer(-head, `{"error":"no such request"}`));
  const path = String.UTF8.decodeUnsafe(request.target, request.targetBytes);
  const method = request.method == Method.GET ? "GET" : "other";
  send(socket, answer(method, path));
}

function send(socket: i32, answer: Answer): void {
  const status = answer.status;
  const body = answer.body;
  const why = reason(status);
  const phrase = String.UTF8.decodeUnsafe(spanAddress(why), spanBytes(why));
  const bytes = String.UTF8.encode(
    `HTTP/1.1 ${status} ${phrase}\r\n` +
    "Content-Type: application/json\r\nConnection: close\r\n" +
    `Content-Length: ${String.UTF8.byteLength(body)}\r\n\r\n${body}`,
  );
  SysSocketSend(socket, changetype<usize>(bytes), bytes.byteLength, 0);
}
