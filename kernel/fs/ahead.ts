// Read-ahead: small reads of a file in order come from a buffer that one large read has filled. It
// is valid as long as the attributes of the file, which were valid when it was filled: what the
// host changes is seen as late as they are, and what this guest changes ends them at once.
import { nowNs } from "../clock";
import { heapBytes, ToroFreeMem, ToroGetMem } from "../memory";

/** Files read ahead at a time, of all file systems; then the one that has not been read longest. */
const BUFFERS: u32 = 8;
/** All buffers together take at most this fraction of the heap, and one at most BYTES_MAX. */
const HEAP_SHIFT: u64 = 5;
const BYTES_MAX: u32 = 131_072;
/** Smaller buffers would not pay for the copy. */
const BYTES_MIN: u32 = 16_384;
/** Longer reads cost less by themselves. */
const READ_SHIFT: u32 = 2;

@unmanaged
export class Ahead {
  owner: usize; // the open file; 0: nobody's
  base: usize; // the buffer; 0: none yet
  bytes: u32; // of it
  filling: bool; // a read into it is under way
  used: u64; // moment, by `uses`, of its last use
  // Its content.
  offset: u64; // in the file
  length: u32; // 0: none
  untilNs: u64; // that of the attributes when it was read
  changes: u32; // by this guest, until then
}

const AHEAD_BYTES = <u32>offsetof<Ahead>();
const buffers: usize = memory.data(<i32>(BUFFERS * AHEAD_BYTES), 8);
let uses: u64 = 0;

export const NO_AHEAD: Ahead = changetype<Ahead>(0);

function bufferAt(i: u32): Ahead {
  return changetype<Ahead>(buffers + i * AHEAD_BYTES);
}

/** Bytes of a buffer: a power of two; 0: the heap is too small for any. */
function bufferBytes(): u32 {
  const most = (heapBytes() >> HEAP_SHIFT) / BUFFERS;
  if (most < BYTES_MIN) return 0;
  let bytes = BYTES_MIN;
  while (bytes < BYTES_MAX && bytes << 1 <= most) bytes <<= 1;
  return bytes;
}

/** Does a read of `length` bytes gain by a buffer? */
export function isSmall(length: u32): bool {
  return length <= bufferBytes() >> READ_SHIFT;
}

/** Are `length` bytes at `offset` of the file in its buffer? They may be old. */
export function holdsAhead(ahead: Ahead, owner: usize, length: u32, offset: u64): bool {
  if (ahead == NO_AHEAD || ahead.owner != owner || ahead.filling) return false;
  const at = offset - ahead.offset; // wraps for what lies before it
  return at < ahead.length && ahead.length - <u32>at >= length;
}

/** Are the bytes those of a file whose attributes are valid until `untilNs`? */
export function isFreshAhead(ahead: Ahead, untilNs: u64, changes: u32): bool {
  return ahead.untilNs == untilNs && ahead.changes == changes && untilNs > nowNs();
}

/** Copies bytes that the buffer holds. */
export function copyAhead(ahead: Ahead, base: usize, length: u32, offset: u64): void {
  ahead.used = ++uses;
  memory.copy(base, ahead.base + <usize>(offset - ahead.offset), length);
}

/** A buffer to fill for the file; null: all are being filled, or there is no memory. */
export function beginAhead(ahead: Ahead, owner: usize): Ahead {
  if (ahead == NO_AHEAD || ahead.owner != owner) ahead = leastUsed();
  if (ahead == NO_AHEAD || ahead.filling) return NO_AHEAD;
  if (ahead.base == 0) {
    ahead.bytes = bufferBytes();
    ahead.base = ToroGetMem(ahead.bytes);
    if (ahead.base == 0) return NO_AHEAD;
  }
  ahead.owner = owner;
  ahead.filling = true;
  ahead.length = 0;
  ahead.used = ++uses;
  return ahead;
}

function leastUsed(): Ahead {
  let found = NO_AHEAD;
  for (let i: u32 = 0; i < BUFFERS; i++) {
    const ahead = bufferAt(i);
    if (ahead.filling) continue;
    if (ahead.owner == 0) return ahead;
    if (found == NO_AHEAD || ahead.used < found.used) found = ahead;
  }
  return found;
}

/** The read is over: `length` bytes, or an error. It began with these attributes. */
export function endAhead(
  ahead: Ahead,
  offset: u64,
  length: i32,
  untilNs: u64,
  changes: u32,
): void {
  assert(ahead.filling, "fs: not begun");
  ahead.filling = false;
  ahead.offset = offset;
  ahead.length = max(length, 0);
  ahead.untilNs = untilNs;
  ahead.changes = changes;
}

/** The file is closed, and read by nobody any more. */
export function dropAhead(ahead: Ahead, owner: usize): void {
  if (ahead == NO_AHEAD || ahead.owner != owner) return;
  assert(!ahead.filling, "fs: in use");
  ToroFreeMem(ahead.base);
  ahead.owner = ahead.base = 0;
  ahead.length = 0;
}
