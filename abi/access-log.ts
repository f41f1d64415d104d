// The access log: a ring in the guest's memory into which applications note requests, and which the
// host empties each time the guest has returned. It is there only when the boot information asks
// for it; the time page says where. The guest never waits for the host: what finds no room is
// counted and lost.

/** Bytes of records that the ring holds; a power of two. */
export const ACCESS_RING_BYTES: u32 = 262144;

/** Byte offsets. Head and tail are totals since boot that wrap; their difference is in use. */
export const enum AccessRing {
  head = 0, // u32, guest writes: bytes written
  tail = 4, // u32, host writes: bytes taken
  lost = 8, // u32, guest writes: records for which there was no room; wraps
  texts = 12, // u32, host writes: 0: of the texts only the method is wanted
  records = 16,
}

/** The first field of every record. A record never wraps around the end of the ring. */
export const enum AccessKind {
  Skip = 0, // nothing more until the end of the ring
  Request = 1, // the head of an answer has been written; AccessRequest
  Response = 2, // the last byte has been handed over, or never will; AccessResponse
  Cut = 3, // a connection was given up; AccessCut
}

/** Every record begins with these. Byte offsets. */
export const enum AccessRecord {
  kind = 0, // u16
  bytes = 2, // u16, of the record, a multiple of 8
  hostPort = 4, // u32, of the connection
  guestPort = 8, // u32
}

/** Texts follow it, in the order of their lengths. Byte offsets. */
export const enum AccessRequest {
  count = 12, // u32, of requests on this connection, with this one
  startNs = 16, // u64, monotonic: when the head was complete
  status = 24, // u16
  minor = 26, // u16, of HTTP/1.minor
  method = 28, // u16, a length, as the next ones; 0: none, or not known
  target = 30,
  referer = 32,
  agent = 34,
  authority = 36,
  id = 38, // of the request
  forwarded = 40, // the addresses of X-Forwarded-For
  texts = 48,
}

/** Longer texts are cut off. */
export const ACCESS_TARGET_BYTES_MAX: u32 = 2048;
export const ACCESS_TEXT_BYTES_MAX: u32 = 512;
/** Texts of a request. */
export const ACCESS_TEXTS: u32 = 7;

/** Byte offsets. */
export const enum AccessResponse {
  reason = 12, // u32, AccessReason
  bodyBytes = 16, // u64, handed over
  sizeof = 24,
}

/** Byte offsets. */
export const enum AccessCut {
  reason = 12, // u32, AccessReason
  sizeof = 16,
}

/** Why a response is not complete, or a connection was given up. */
export const enum AccessReason {
  None = 0,
  Gone = 1, // the client has left
  Slow = 2, // it took too little
  Memory = 3, // memory was short, and this connection was the first to go
  File = 4, // the file has become shorter
  Head = 5, // the head did not end in time
  Idle = 6, // no request came in time
  Protocol = 7, // a request cannot be understood
  Kinds = 8,
}
