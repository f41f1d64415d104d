// The outcome of a request, at the two moments at which it is known: when the head of its answer
// has been written and its own head is not gone yet, and when the answer is over. Both are noted
// for the access log.
import {
  AccessReason,
  IoVec,
  isLogged,
  LoggedRequest,
  Span,
  spanAddress,
  spanBytes,
  SysLogCut,
  SysLogRequest,
  SysLogResponse,
  text,
} from "torito/kernel/api";
import { Field } from "torito/guest/http/request-head";
import { putText } from "torito/guest/http/text";
import { Connection } from "./connections";
import { Ending } from "./ending";
import { OUTPUT_BYTES, outputOf, requestOf } from "./work";

const logged = changetype<LoggedRequest>(memory.data(offsetof<LoggedRequest>()));
const texts: usize = memory.data(7 * <i32>offsetof<IoVec>());
/** Ids of requests that are sent back have at most this many bytes. */
const ID_BYTES_MAX: u32 = 128;

/**
 * Adds the request's id to the answer in the output, which has `bytes`, if it is one that can be
 * sent back (AL6). Returns the answer's bytes.
 */
export function echoId(c: Connection, bytes: u32): u32 {
  const id = requestOf(c.work).value(Field.RequestId);
  if (id == 0 || !isId(id)) return bytes;
  const output = outputOf(c.work);
  const end = output + bytes - c.joined - 2; // before the empty line
  const added = 16 + spanBytes(id); // with name, colon, space and line end
  if (bytes + added > OUTPUT_BYTES) return bytes;
  memory.copy(end + added, end, <usize>bytes - (end - output));
  let at = putText(end, text("X-Request-Id: "));
  at = putText(at, id);
  putText(at, text("\r\n"));
  return bytes + added;
}

function isId(id: Span): bool {
  const bytes = spanBytes(id);
  if (bytes == 0 || bytes > ID_BYTES_MAX) return false;
  const end = spanAddress(id) + bytes;
  for (let p = spanAddress(id); p < end; p++) {
    const c: u32 = load<u8>(p);
    const isLetter = (c | 0x20) - 0x61 < 26;
    if (!isLetter && c - 0x30 > 9 && c != 0x2e && c != 0x5f && c != 0x2d) return false;
  }
  return true;
}

/**
 * An answer with that status is about to be sent. c.requests counts it, and it began at c.startNs.
 * `isParsed`: its own head could be understood. Does not yield.
 */
export function answered(c: Connection, status: u32, isParsed: bool): void {
  if (!isLogged()) return;
  const request = requestOf(c.work);
  logged.startNs = c.startNs;
  logged.count = c.requests;
  logged.status = status;
  logged.minor = isParsed ? request.minor : 1;
  logged.texts = texts;
  if (isParsed) {
    put(0, request.methodAt, request.methodBytes);
    put(1, request.target, request.targetBytes);
    putField(2, request.value(Field.Referer));
    putField(3, request.value(Field.UserAgent));
    put(4, request.authority, request.authorityBytes);
    putField(5, request.value(Field.RequestId));
    putField(6, request.value(Field.ForwardedFor));
  } else {
    for (let i: usize = 0; i < 7; i++) put(i, 0, 0);
    SysLogCut(c.socket, status == 408 ? AccessReason.Head : AccessReason.Protocol);
  }
  SysLogRequest(c.socket, logged);
}

/** That answer is over: `bodyBytes` bytes of its body were handed over. Does not yield. */
export function finished(c: Connection, bodyBytes: u64, ending: Ending): void {
  SysLogResponse(c.socket, bodyBytes, reasonOf(ending));
}

function reasonOf(ending: Ending): AccessReason {
  switch (ending) {
    case Ending.Whole: return AccessReason.None;
    case Ending.Slow: return AccessReason.Slow;
    case Ending.Memory: return AccessReason.Memory;
    case Ending.File: return AccessReason.File;
    default: return AccessReason.Gone;
  }
}

function put(i: usize, base: usize, bytes: u32): void {
  const one = changetype<IoVec>(texts + i * offsetof<IoVec>());
  one.base = base;
  one.length = bytes;
}

function putField(i: usize, value: Span): void {
  put(i, spanAddress(value), spanBytes(value));
}
