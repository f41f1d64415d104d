// Lines as bytes, many of them in one buffer that is written at once. Nothing here makes a string,
// and bytes are moved four at a time: one at a time costs four times as much.

/** Bytes of a buffer: a line of the longest texts fits, and the caches keep it. */
export const LINES_BYTES = 32768;

const ZERO = 0x30;
const POINT = 0x2e;
const BACKSLASH = 0x5c;
const UINT31_MAX = 0x7fffffff;
/** Above it thousandths would not be exact. */
const DECIMAL_MAX = 1e12;

/** A text of ASCII that is known in advance. */
export interface Fixed {
  readonly length: number;
  /** Little-endian, with zeros after the text. */
  readonly words: Int32Array;
}

export function fixed(text: string): Fixed {
  const bytes = new DataView(new ArrayBuffer((text.length + 3) & ~3));
  for (let i = 0; i < text.length; i++) bytes.setUint8(i, text.charCodeAt(i));
  const words = new Int32Array(bytes.byteLength / 4);
  return { length: text.length, words: words.map((_, i) => bytes.getInt32(4 * i, true)) };
}

/** How bytes are written that could end a line or a quotation, or that a terminal would obey. */
export interface Escapes {
  /** Before the two hexadecimal digits. */
  readonly before: Fixed;
  /** By value. */
  readonly digits: string;
  /** Have a quotation mark and a backslash only a backslash before them? */
  readonly isSlashed: boolean;
}

/** As nginx does: `\xHH`. */
export const QUOTED: Escapes = {
  before: fixed("\\x"),
  digits: "0123456789ABCDEF",
  isSlashed: false,
};
/** For a string of JSON; each byte is a character. */
export const JSON_STRING: Escapes = {
  before: fixed("\\u00"),
  digits: "0123456789abcdef",
  isSlashed: true,
};
/** Bytes that one becomes at most. */
export const ESCAPED_BYTES_MAX = 6;

/** Whole words are written, so up to this many bytes after a text may change. */
export const SLACK_BYTES = 3;

/** Copies bytes; the ranges do not overlap. */
export function copyBytes(
  from: DataView,
  place: number,
  length: number,
  to: DataView,
  at: number,
): void {
  let i = 0;
  for (; i + 4 <= length; i += 4) to.setInt32(at + i, from.getInt32(place + i, true), true);
  for (; i < length; i++) to.setUint8(at + i, from.getUint8(place + i));
}

/** Is it written as it is? Space to tilde, but for the quotation mark and the backslash. */
const isPlain = (byte: number): boolean =>
  byte >= 0x20 && byte < 0x7f && byte !== 0x22 && byte !== BACKSLASH;

/**
 * The same of four bytes at once. May be wrong about those above one that is not plain, and so is
 * false only if one of the four is not. The top bit of a byte is set in: what is above 7F; 7F and
 * one; what is below 20 less 20; and (x - 1) & ~x of a byte x that is 0, which those are that equal
 * what they are compared with.
 */
function arePlain(four: number): boolean {
  const quotes = four ^ 0x22222222;
  const slashes = four ^ 0x5c5c5c5c;
  const odd =
    four |
    (four + 0x01010101) |
    (four - 0x20202020) |
    ((quotes - 0x01010101) & ~quotes) |
    ((slashes - 0x01010101) & ~slashes);
  return (odd & 0x80808080) === 0;
}

/** Whoever puts something into it has seen that there is room, and for SLACK_BYTES more. */
export class LineBuffer {
  readonly bytes = new Uint8Array(LINES_BYTES);
  readonly #view = new DataView(this.bytes.buffer);
  length = 0;

  has(bytes: number): boolean {
    return this.length + bytes <= LINES_BYTES;
  }

  put({ words, length }: Fixed): void {
    this.#putWords(words, this.length);
    this.length += length;
  }

  /** Lines of another buffer. */
  append(lines: Uint8Array): void {
    this.bytes.set(lines, this.length);
    this.length += lines.length;
  }

  /** Bytes of somebody else. */
  escaped(from: DataView, place: number, length: number, how: Escapes): void {
    const view = this.#view;
    const end = place + length;
    let at = this.length;
    let i = place;
    while (i < end) {
      for (; i + 4 <= end; i += 4) {
        const four = from.getInt32(i, true);
        if (!arePlain(four)) break;
        view.setInt32(at, four, true);
        at += 4;
      }
      for (const stop = Math.min(i + 4, end); i < stop; i++) {
        const byte = from.getUint8(i);
        if (isPlain(byte)) view.setUint8(at++, byte);
        else at = this.#escape(at, byte, how);
      }
    }
    this.length = at;
  }

  /** The same of a string; characters above 255 do not occur. */
  escapedText(text: string, how: Escapes): void {
    const view = this.#view;
    let at = this.length;
    for (let i = 0; i < text.length; i++) {
      const byte = text.charCodeAt(i) & 0xff;
      if (isPlain(byte)) view.setUint8(at++, byte);
      else at = this.#escape(at, byte, how);
    }
    this.length = at;
  }

  /** A whole number, not below 0; above 2^53, where it would not be exact, that limit. */
  number(given: number): void {
    const value = Math.min(given, Number.MAX_SAFE_INTEGER);
    if (value < 10) {
      this.#view.setUint8(this.length++, ZERO + value);
      return;
    }
    let digits = 2;
    for (let over = 100; over <= value; over *= 10) digits++;
    this.digits(value, digits);
  }

  /** The last `digits` of a whole number. */
  digits(value: number, digits: number): void {
    const view = this.#view;
    const begin = this.length;
    let at = begin + digits - 1;
    let rest = value;
    for (; rest > UINT31_MAX && at >= begin; at--) {
      const less = Math.floor(rest / 10);
      view.setUint8(at, ZERO + (rest - 10 * less));
      rest = less;
    }
    for (let small = rest | 0; at >= begin; at--) {
      const less = (small / 10) | 0;
      view.setUint8(at, ZERO + small - 10 * less);
      small = less;
    }
    this.length = begin + digits;
  }

  /** With up to three decimals; what is below 0 is 0. */
  decimal(value: number): void {
    const thousandths = value > 0 ? Math.round(Math.min(value, DECIMAL_MAX) * 1000) : 0;
    const whole = Math.floor(thousandths / 1000);
    const rest = thousandths - 1000 * whole;
    this.number(whole);
    if (rest === 0) return;
    this.#view.setUint8(this.length++, POINT);
    if (rest % 100 === 0) this.digits(rest / 100, 1);
    else if (rest % 10 === 0) this.digits(rest / 10, 2);
    else this.digits(rest, 3);
  }

  #escape(at: number, byte: number, { before, digits, isSlashed }: Escapes): number {
    const view = this.#view;
    if (isSlashed && (byte === 0x22 || byte === BACKSLASH)) {
      view.setUint8(at, BACKSLASH);
      view.setUint8(at + 1, byte);
      return at + 2;
    }
    this.#putWords(before.words, at);
    view.setUint8(at + before.length, digits.charCodeAt(byte >> 4));
    view.setUint8(at + before.length + 1, digits.charCodeAt(byte & 15));
    return at + before.length + 2;
  }

  #putWords(words: Int32Array, begin: number): void {
    const view = this.#view;
    let at = begin;
    for (let i = 0; i < words.length; i++, at += 4) view.setInt32(at, words[i] as number, true);
  }
}
