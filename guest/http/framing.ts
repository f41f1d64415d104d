// Where the body of a request ends (RFC 9112, 6). Requests are smuggled past readers that disagree
// about it, so it is decided before anything else about a request (HF1). A leaf.
import { RequestHead } from "./request-head";

/** How the end of a request's body is found. */
export const enum Framing {
  None,
  Length, // RequestHead.length bytes
  Chunked,
}

/** An integer that every peer can hold. */
const LENGTH_MAX: u64 = (1 << 53) - 1;

/** For applications that read bodies: the framing, or the negative status of the answer. */
export function bodyFraming(request: RequestHead): i32 {
  if (request.encodings == 0) return request.length != 0 ? Framing.Length : Framing.None;
  // HB1: both, or chunks from a client of HTTP/1.0, may be read in two ways.
  if (request.lengths != 0 || request.minor == 0) return -400;
  if (!request.chunkedLast || request.chunkings > 1) return -400; // HB2
  return request.codings > 1 ? -501 : Framing.Chunked;
}

/** The same for a server to whom no body matters, and which so can refuse all that is unusual. */
export function strictFraming(request: RequestHead): i32 {
  if (request.encodings == 0) {
    if (request.lengths > 1 || request.length > LENGTH_MAX) return -400; // HF2
    return request.length != 0 ? Framing.Length : Framing.None;
  }
  if (request.lengths != 0 || request.minor == 0) return -400; // HF3
  if (request.chunkedAlone) return Framing.Chunked;
  // HF4: chunked where it may not be, or written in a way that others may not understand.
  if (request.chunkings != 0 && (!request.chunkedLast || request.chunkings > 1)) return -400;
  if (request.chunkedOddly || request.codings == request.chunkings) return -400;
  return -501;
}
