// From a head to what may be answered. The framing of the request is decided first, and neither
// method, path nor file makes a difference to it (HF1).
import { isDraining } from "torito/kernel/api";
import { Framing, strictFraming } from "torito/guest/http/framing";
import { Method, RequestHead } from "torito/guest/http/request-head";
import { BODY_BYTES_MAX, Dropped, dropChunks, expectBody } from "./body";
import { Connection } from "./connections";
import { requestOf } from "./work";

/** The answer to the last of them ends the connection, so that a balancer can even out. */
const REQUESTS_MAX: u32 = 10_000;

/** The request is to be answered by its method. */
export const ADMITTED: i32 = 0;
/** There is nobody to answer. */
export const GONE: i32 = -1;
/** There is no memory to wait for the body. */
export const NO_MEMORY: i32 = -2;

/**
 * Decides about the request whose head, of `headBytes`, is in the input, and drops its body if that
 * has to come before the answer. Yields if it does. Returns one of the above, or a status to
 * answer; c.keepAlive and c.bodyLeft are set.
 */
export function admit(c: Connection, headBytes: u32): i32 {
  const request = requestOf(c.work);
  const framing = strictFraming(request);
  c.keepAlive = framing >= 0 && request.keepAlive && ++c.requests < REQUESTS_MAX && !isDraining();
  if (framing < 0) return -framing;
  if (framing != Framing.None) {
    expectBody(c);
    // HF7: such a client may send its body, or not; HF6: more than is dropped.
    if (request.expectsContinue || request.length > BODY_BYTES_MAX) c.keepAlive = false;
    else if (framing == Framing.Chunked) return admitChunked(c, headBytes);
    c.bodyLeft = request.length;
  }
  return admitRequest(c, request);
}

function admitChunked(c: Connection, headBytes: u32): i32 {
  const dropped = dropChunks(c, headBytes);
  switch (dropped) {
    case Dropped.Gone: return GONE;
    case Dropped.NoMemory: return NO_MEMORY;
    case Dropped.Malformed: return 400;
    case Dropped.Unfinished: c.keepAlive = false;
    default: return admitRequest(c, requestOf(c.work));
  }
}

/** HF10 */
function admitRequest(c: Connection, request: RequestHead): i32 {
  if (request.expectsOther) return 417;
  switch (request.method) {
    case Method.Unknown: return 501;
    case Method.CONNECT: c.keepAlive = false; // what follows may be for the other end of a tunnel
    case Method.Known: return 405;
    default: return ADMITTED;
  }
}
