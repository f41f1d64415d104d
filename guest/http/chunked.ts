// Finds data and end of a chunked body (RFC 9112, 7.1) in bytes that come in any pieces (HF5, HB4).
// It keeps no byte, and takes none after the last. Leaves.
import { isIn, TOKEN, VALUE } from "./characters";
import { hexDigit } from "./text";

/** Named for the byte that is expected. */
const enum ChunkState {
  Size, // a digit, or the end of the digits
  Extension,
  SizeLF,
  Data,
  DataCR,
  DataLF,
  Trailer, // the first byte of a field line, or the CR of the empty line
  TrailerName,
  TrailerValue,
  TrailerLF,
  LastLF,
  Done,
  Malformed,
}

const SIZE_DIGITS_MAX: u32 = 8;
const EXTENSION_BYTES_MAX: u32 = 256;
/** All trailer fields together. */
const TRAILER_BYTES_MAX: u32 = 8192;

const CR: u32 = 13;
const LF: u32 = 10;
const COLON: u32 = 0x3a;
const SEMICOLON: u32 = 0x3b;

/** Begins as zeros. */
@unmanaged
export class ChunkScanner {
  private state: ChunkState;
  private digits: u32;
  /** Bytes of data that come next. */
  left: u32;
  private extension: u32; // bytes
  private trailer: u32; // bytes
  /** Bytes of data and extensions. */
  content: u64;

  get isDone(): bool {
    return this.state == ChunkState.Done;
  }

  get isMalformed(): bool {
    return this.state == ChunkState.Malformed;
  }

  /** Do bytes of data come next? They may be passed to skipData() instead of scan(). */
  get isAtData(): bool {
    return this.state == ChunkState.Data;
  }

  /** Takes bytes up to the end of the body, or to the first wrong one. Returns how many. */
  scan(at: usize, bytes: u32): u32 {
    const end = at + bytes;
    let p = at;
    while (p < end && this.state < ChunkState.Done) {
      if (this.state == ChunkState.Data) p += this.skipData(<u32>(end - p));
      else this.state = this.next(load<u8>(p++));
    }
    return <u32>(p - at);
  }

  /** Takes up to `bytes` bytes of data. Returns how many. */
  skipData(bytes: u32): u32 {
    const skipped = min(bytes, this.left);
    this.left -= skipped;
    this.content += skipped;
    if (this.left == 0) this.state = ChunkState.DataCR;
    return skipped;
  }

  /** The state after a byte that is no data. */
  private next(c: u32): ChunkState {
    switch (this.state) {
      case ChunkState.Size: return this.afterSize(c);
      case ChunkState.Extension: return this.afterExtension(c);
      case ChunkState.SizeLF:
        if (c != LF) return ChunkState.Malformed;
        return this.left == 0 ? ChunkState.Trailer : ChunkState.Data;
      case ChunkState.DataCR: return c == CR ? ChunkState.DataLF : ChunkState.Malformed;
      case ChunkState.DataLF:
        this.digits = this.extension = 0;
        return c == LF ? ChunkState.Size : ChunkState.Malformed;
      case ChunkState.LastLF: return c == LF ? ChunkState.Done : ChunkState.Malformed;
      default: return this.afterTrailer(c);
    }
  }

  private afterSize(c: u32): ChunkState {
    const digit = hexDigit(c);
    if (digit < 16) {
      this.left = (this.left << 4) | digit;
      return ++this.digits > SIZE_DIGITS_MAX ? ChunkState.Malformed : ChunkState.Size;
    }
    if (this.digits == 0) return ChunkState.Malformed;
    if (c == SEMICOLON) return ChunkState.Extension;
    return c == CR ? ChunkState.SizeLF : ChunkState.Malformed;
  }

  private afterExtension(c: u32): ChunkState {
    if (c == CR) return ChunkState.SizeLF;
    this.content++;
    const isRight = isIn(c, VALUE) && ++this.extension <= EXTENSION_BYTES_MAX;
    return isRight ? ChunkState.Extension : ChunkState.Malformed;
  }

  /** Trailer fields are dropped, but must be fields. */
  private afterTrailer(c: u32): ChunkState {
    if (++this.trailer > TRAILER_BYTES_MAX) return ChunkState.Malformed;
    switch (this.state) {
      case ChunkState.Trailer:
        if (c == CR) return ChunkState.LastLF;
        return isIn(c, TOKEN) ? ChunkState.TrailerName : ChunkState.Malformed;
      case ChunkState.TrailerName:
        if (c == COLON) return ChunkState.TrailerValue;
        return isIn(c, TOKEN) ? ChunkState.TrailerName : ChunkState.Malformed;
      case ChunkState.TrailerValue:
        if (c == CR) return ChunkState.TrailerLF;
        return isIn(c, VALUE) ? ChunkState.TrailerValue : ChunkState.Malformed;
      default: return c == LF ? ChunkState.Trailer : ChunkState.Malformed;
    }
  }
}
