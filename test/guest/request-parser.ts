// The parser of requests for tests, which put bytes at buffer(), call parse() and ask for results.
import { span, Span } from "torito/kernel/api";
import { ChunkScanner } from "torito/guest/http/chunked";
import { findField } from "torito/guest/http/fields";
import { strictFraming } from "torito/guest/http/framing";
import { parseRequest } from "torito/guest/http/request";
import { Method, REQUEST_HEAD_BYTES, RequestHead } from "torito/guest/http/request-head";

const BUFFER_BYTES = 65536;
const bytes: usize = memory.data(65536);
const block: usize = memory.data(1024, 8);
const head = changetype<RequestHead>(block);
const scanner = changetype<ChunkScanner>(memory.data(offsetof<ChunkScanner>()));

export function buffer(): usize {
  assert(REQUEST_HEAD_BYTES <= 1024);
  return bytes;
}

export function bufferBytes(): u32 {
  return BUFFER_BYTES;
}

export function parse(count: u32, strict: bool): i32 {
  return parseRequest(bytes, count, head, strict);
}

export function framing(): i32 {
  return strictFraming(head);
}

export function lengthBytes(): f64 {
  return <f64>head.length;
}

/** Scans a chunked body from `at` to `count`. Returns where it ends, 0: later, -1: malformed. */
export function scan(at: u32, count: u32): i32 {
  memory.fill(changetype<usize>(scanner), 0, offsetof<ChunkScanner>());
  const end = at + scanner.scan(bytes + at, count - at);
  if (scanner.isMalformed) return -1;
  return scanner.isDone ? end : 0;
}

export function isServed(): bool {
  return head.method != Method.Unknown;
}

export function methodSpan(): Span {
  return span(head.methodAt, head.methodBytes);
}

export function targetSpan(): Span {
  return span(head.target, head.targetBytes);
}

export function fieldCount(): u32 {
  return head.headerCount;
}

/** The value of the next field with the name at `name`, from the address `from` on. */
export function field(name: usize, nameBytes: u32, from: usize): Span {
  return findField(head, span(name, nameBytes), from);
}
