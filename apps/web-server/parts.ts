// Several parts of a file in one answer: multipart/byteranges (RFC 9110, 14.6; SI11). While they
// are sent, their ranges are kept and what their heads are made from, not their bytes.
import { randomBytes, text, ToroFreeMem, ToroGetMem } from "torito/kernel/api";
import { Range, rangeAt, rangeCount, RANGES_MAX } from "torito/guest/http/range";
import { putRange } from "torito/guest/http/response";
import { putBytes, putHex, putText } from "torito/guest/http/text";

const TYPE_BYTES_MAX: u32 = 160;
/** Boundary, content type and range of a part. */
const HEAD_BYTES_MAX: u32 = 384;
const BOUNDARY_WORDS: u32 = 4;

@unmanaged
export class Parts {
  count: u32;
  size: u64; // of the file
  private boundary0: u32;
  private boundary1: u32;
  private boundary2: u32;
  private boundary3: u32;
  private typeBytes: u32;

  /** A part of the file. */
  range(i: u32): Range {
    return changetype<Range>(changetype<usize>(this) + RANGES + i * offsetof<Range>());
  }

  /** Room for a head or the end, of HEAD_BYTES_MAX. */
  get scratch(): usize {
    return changetype<usize>(this) + SCRATCH;
  }

  /** Writes the boundary: random, so that no file has it in it. */
  putBoundary(at: usize): usize {
    for (let i: u32 = 0; i < BOUNDARY_WORDS; i++) {
      // With the highest bit, so that all have eight digits.
      const word = load<u32>(changetype<usize>(this) + offsetof<Parts>("boundary0") + (i << 2));
      at = putHex(at, word | 0x8000_0000);
    }
    return at;
  }

  /** Writes the head of a part, or with `count` as its number the end of the body. */
  putHead(at: usize, i: u32): usize {
    at = putText(at, i == 0 ? text("--") : text("\r\n--"));
    at = this.putBoundary(at);
    if (i == this.count) return putText(at, text("--\r\n"));
    at = putText(at, text("\r\n"));
    at = putBytes(at, changetype<usize>(this) + TYPE, this.typeBytes);
    const range = this.range(i);
    at = putRange(at, range.first, range.length, this.size);
    return putText(at, text("\r\n"));
  }

  /** The length of the body. */
  get bodyBytes(): u64 {
    let bytes: u64 = 0;
    for (let i: u32 = 0; i <= this.count; i++) {
      bytes += this.putHead(this.scratch, i) - this.scratch;
      if (i < this.count) bytes += this.range(i).length;
    }
    return bytes;
  }
}
const RANGES: usize = (offsetof<Parts>() + 7) & ~7;
const TYPE: usize = RANGES + <usize>RANGES_MAX * offsetof<Range>();
const SCRATCH: usize = TYPE + TYPE_BYTES_MAX;
const PARTS_BYTES: usize = SCRATCH + HEAD_BYTES_MAX;

/**
 * The ranges that were parsed last, of a file of `size` bytes whose Content-Type line is at `type`.
 * freeParts() frees it. Null: no memory, or too long a type.
 */
export function createParts(size: u64, type: usize, typeBytes: u32): Parts | null {
  if (typeBytes > TYPE_BYTES_MAX) return null;
  const address = ToroGetMem(PARTS_BYTES);
  if (address == 0) return null;
  const parts = changetype<Parts>(address);
  parts.count = rangeCount();
  parts.size = size;
  randomBytes(address + offsetof<Parts>("boundary0"), BOUNDARY_WORDS << 2);
  parts.typeBytes = typeBytes;
  memory.copy(address + TYPE, type, typeBytes);
  memory.copy(address + RANGES, changetype<usize>(rangeAt(0)), parts.count * offsetof<Range>());
  return parts;
}

export function freeParts(parts: Parts): void {
  ToroFreeMem(changetype<usize>(parts));
}
