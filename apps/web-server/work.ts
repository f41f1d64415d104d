// The buffers for answering a request, in one block: head, response, path. A connection has them
// while it answers, and never while it waits for its client.
import { heapBytes, ToroFreeMem, ToroGetMem } from "torito/kernel/api";
import { SITE_HEADERS_BYTES_MAX } from "torito/abi/site";
import { shrinkCache } from "./cache";
import { HEAD_BYTES_MAX, REQUEST_LINE_BYTES_MAX } from "torito/guest/http/request";
import { REQUEST_HEAD_BYTES, RequestHead } from "torito/guest/http/request-head";
import { Site } from "./rules/site";

@unmanaged
export class Work {
  used: u32; // bytes of requests in the buffer
  // The request being answered.
  site: Site; // the settings that hold for it
  pathBytes: u32; // of the decoded path; 0: it was not decoded
  rewritten: bool; // the decoded path has given way to another one
}
const REQUEST: usize = (offsetof<Work>() + 7) & ~7;
const INPUT: usize = REQUEST + REQUEST_HEAD_BYTES;
const OUTPUT: usize = INPUT + HEAD_BYTES_MAX;
/** A head that is no redirect and has no headers of rules is shorter. */
const HEAD_ROOM: usize = 2048;
/** A decoded path and the ending of a file's name, after the room for such a head. */
const PATH: usize = OUTPUT + HEAD_ROOM;
const PATH_BYTES_MAX: u32 = REQUEST_LINE_BYTES_MAX + 16;
const WORK_BYTES: usize = PATH + PATH_BYTES_MAX;
/** Room for a response, which may overwrite the path. */
export const OUTPUT_BYTES: u32 = <u32>HEAD_ROOM + PATH_BYTES_MAX;
/** At the end of the output: the rest of a head, and a line of text as its body. */
export const REST_BYTES: u32 = 256;
if (PATH_BYTES_MAX - REST_BYTES < SITE_HEADERS_BYTES_MAX) ERROR("work: headers of rules");

export const NO_WORK: Work = changetype<Work>(0);

/** Most requests are answered one after another, without a wait: they use this block. */
const first: usize = memory.data(<i32>WORK_BYTES, 8);
let firstIsTaken = false;

/** All others take at most this fraction of the heap. */
const HEAP_SHIFT: u64 = 3;
let workBytes: u64 = 0;

/** Buffers for one request, which giveWork takes back; NO_WORK: there is no memory. */
export function takeWork(): Work {
  if (!firstIsTaken) {
    firstIsTaken = true;
    const work = changetype<Work>(first);
    work.used = 0;
    return work;
  }
  if (workBytes + WORK_BYTES > heapBytes() >> HEAP_SHIFT) return NO_WORK;
  let work = changetype<Work>(ToroGetMem(WORK_BYTES));
  // Cached files give way to a request.
  while (work == NO_WORK && shrinkCache()) work = changetype<Work>(ToroGetMem(WORK_BYTES));
  if (work == NO_WORK) return NO_WORK;
  workBytes += WORK_BYTES;
  work.used = 0;
  return work;
}

export function giveWork(work: Work): void {
  if (changetype<usize>(work) == first) {
    firstIsTaken = false;
    return;
  }
  workBytes -= WORK_BYTES;
  ToroFreeMem(changetype<usize>(work));
}

export function requestOf(work: Work): RequestHead {
  return changetype<RequestHead>(changetype<usize>(work) + REQUEST);
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
