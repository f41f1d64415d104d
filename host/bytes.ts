// Byte arrays: comparing and joining. Loops, because a browser has no memcmp.

/** Are both of the same length, with the same bytes? */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  const { length } = a;
  if (length !== b.length) return false;
  let at = 0;
  if (length >= WORDS_FROM && (a.byteOffset & 3) === 0 && (b.byteOffset & 3) === 0) {
    const words = length >>> 2;
    const left = new Int32Array(a.buffer, a.byteOffset, words);
    const right = new Int32Array(b.buffer, b.byteOffset, words);
    for (let i = 0; i < words; i++) if (left[i] !== right[i]) return false;
    at = words << 2;
  }
  for (; at < length; at++) if (a[at] !== b[at]) return false;
  return true;
}

/** From this length on, comparing words pays for making the two views. */
const WORDS_FROM = 256;

/** Copies the parts to `target`, one after the other, from `at` on. */
export function putBytes(target: Uint8Array, at: number, parts: readonly Uint8Array[]): void {
  let end = at;
  for (const part of parts) {
    target.set(part, end);
    end += part.length;
  }
}

/** The parts in order, as one array. */
export function joinBytes(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  let length = 0;
  for (const part of parts) length += part.length;
  const whole = new Uint8Array(length);
  putBytes(whole, 0, parts);
  return whole;
}
