// The buffers that serving a request needs, in one block: head, response, path.
import { IoVec } from "../../kernel/iovec";
import { HEAD_BYTES_MAX, Request } from "./request";
import { RESPONSE_HEAD_BYTES_MAX } from "./response";

/** Lent to a connection from the first byte of a request to the end of the last answer due. */
@unmanaged
export class Work {
  socket: i32;
  used: u32; // bytes of requests in the buffer
}
const REQUEST: usize = offsetof<Work>();
const INPUT: usize = REQUEST + offsetof<Request>();
const OUTPUT: usize = INPUT + HEAD_BYTES_MAX;
/** Room for a decoded path and the name of an index file. */
const PATH: usize = OUTPUT + RESPONSE_HEAD_BYTES_MAX;
const PATH_BYTES_MAX: u32 = 4096 + 16;
const VECTOR: usize = (PATH + PATH_BYTES_MAX + 7) & ~7;
export const WORK_BYTES: usize = VECTOR + 2 * offsetof<IoVec>();

export function requestOf(work: Work): Request {
  return changetype<Request>(changetype<usize>(work) + REQUEST);
}

export function inputOf(work: Work): usize {
  return changetype<usize>(work) + INPUT;
}

export function outputOf(work: Work): usize {
  return changetype<usize>(work) + OUTPUT;
}

export function pathOf(work: Work): usize {
  return changetype<usize>(work) + PATH;
}

/** Two buffers for a gather send. */
export function vectorOf(work: Work): usize {
  return changetype<usize>(work) + VECTOR;
}
