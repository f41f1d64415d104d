// The head of a request, parsed: where its parts are in the buffer, and what they mean.
import { Span, span } from "../../kernel/api";

export const enum Method {
  GET,
  HEAD,
  OPTIONS,
  CONNECT, // its target is an authority
  Known, // another one that is registered
  Unknown,
}

/** Fields that are found while the head is parsed; findField() finds any other. */
export const enum Field {
  Accept,
  AcceptEncoding,
  ForwardedFor,
  IfMatch,
  IfModifiedSince,
  IfNoneMatch,
  IfRange,
  IfUnmodifiedSince,
  Origin,
  Range,
  Referer,
  RequestId,
  UserAgent,
  Count,
}

@unmanaged
class Slot {
  at: usize;
  bytes: u32;
  lines: u32; // of fields with this name
}

/** Addresses point into the buffer; 0: there is no such part. */
@unmanaged
export class RequestHead {
  method: Method;
  methodAt: usize;
  methodBytes: u32;
  minor: u32; // of HTTP/1.minor
  target: usize;
  targetBytes: u32;
  path: usize; // in the target, or a `/` of the server's own; for CONNECT and `*` the target
  pathBytes: u32;
  query: usize; // with its question mark; of no bytes if there is none
  queryBytes: u32;
  authority: usize; // Host, or in its place that of the target
  authorityBytes: u32;
  hosts: u32; // Host fields
  keepAlive: bool;
  close: bool; // asked for in a Connection field
  lengths: u32; // Content-Length fields, all with the same value
  length: u64;
  encodings: u32; // Transfer-Encoding fields
  codings: u32; // in them
  chunkings: u32; // how many of the codings are chunked
  chunkedLast: bool;
  chunkedAlone: bool; // there is nothing else, not even a comma
  chunkedOddly: bool; // with parameters, of which it has none (RFC 9112, 7)
  expectsContinue: bool;
  expectsOther: bool; // something that no server does
  headers: usize; // the first field line
  headersBytes: u32; // of all of them, without the empty line
  headerCount: u32;

  get hasBody(): bool {
    return this.length != 0 || this.encodings != 0;
  }

  /** The value of the first such field; 0: there is none. */
  value(field: Field): Span {
    const slot = this.slot(field);
    return slot.at == 0 ? 0 : span(slot.at, slot.bytes);
  }

  /** How many fields of that name there are. */
  lines(field: Field): u32 {
    return this.slot(field).lines;
  }

  /** Notes a field's value. */
  note(field: Field, at: usize, bytes: u32): void {
    const slot = this.slot(field);
    if (slot.lines++ != 0) return;
    slot.at = at;
    slot.bytes = bytes;
  }

  private slot(field: Field): Slot {
    return changetype<Slot>(changetype<usize>(this) + SLOTS + <usize>field * SLOT_BYTES);
  }
}

// Embedded by offset: asc has no embedded structs.
const SLOTS: usize = offsetof<RequestHead>();
const SLOT_BYTES: usize = offsetof<Slot>();
export const REQUEST_HEAD_BYTES: usize = SLOTS + <usize>Field.Count * SLOT_BYTES;
