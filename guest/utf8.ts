// UTF-8 (RFC 3629) to and from strings, which are UTF-16. Leaves.

/** Bytes of the well-formed sequence at `at`, which ends before `end`; 0: it is none. */
export function sequenceBytes(at: usize, end: usize): u32 {
  const first: u32 = load<u8>(at);
  if (first < 0x80) return 1;
  if (first < 0xc2 || first > 0xf4) return 0;
  const bytes: u32 = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
  if (at + bytes > end) return 0;
  const second: u32 = load<u8>(at, 1);
  // Neither overlong, nor a surrogate, nor beyond U+10FFFF (RFC 3629, 4).
  const least: u32 = first == 0xe0 ? 0xa0 : first == 0xf0 ? 0x90 : 0x80;
  const most: u32 = first == 0xed ? 0x9f : first == 0xf4 ? 0x8f : 0xbf;
  if (second < least || second > most) return 0;
  for (let i: u32 = 2; i < bytes; i++) if ((load<u8>(at + i) & 0xc0) != 0x80) return 0;
  return bytes;
}

/** The code point of a well-formed sequence. */
export function codePoint(at: usize, bytes: u32): u32 {
  const first: u32 = load<u8>(at);
  if (bytes == 1) return first;
  let code = first & (0x7f >> bytes);
  for (let i: u32 = 1; i < bytes; i++) code = (code << 6) | (load<u8>(at + i) & 0x3f);
  return code;
}

/** A string of the bytes. Each byte of what is not UTF-8 becomes U+FFFD. */
export function decodeUtf8(at: usize, bytes: u32): string {
  const units = changetype<usize>(__new(bytes << 1, idof<String>()));
  const end = at + bytes;
  let to = units;
  while (at < end) {
    const length = sequenceBytes(at, end);
    const code = length == 0 ? 0xfffd : codePoint(at, length);
    to = putUtf16(to, code);
    at += max<u32>(length, 1);
  }
  return changetype<string>(__renew(units, to - units));
}

/** Writes a code point as one or two units; returns the address after them. */
export function putUtf16(to: usize, code: u32): usize {
  if (code < 0x10000) {
    store<u16>(to, <u16>code);
    return to + 2;
  }
  store<u16>(to, <u16>(0xd7c0 + (code >> 10)));
  store<u16>(to, <u16>(0xdc00 | (code & 0x3ff)), 2);
  return to + 4;
}

/** Writes a code point as UTF-8, at most four bytes; returns the address after them. */
export function putUtf8(to: usize, code: u32): usize {
  if (code < 0x80) {
    store<u8>(to, <u8>code);
    return to + 1;
  }
  if (code < 0x800) {
    store<u8>(to, <u8>(0xc0 | (code >> 6)));
    store<u8>(to, <u8>(0x80 | (code & 0x3f)), 1);
    return to + 2;
  }
  let at = to;
  if (code < 0x10000) {
    store<u8>(at++, <u8>(0xe0 | (code >> 12)));
  } else {
    store<u8>(at++, <u8>(0xf0 | (code >> 18)));
    store<u8>(at++, <u8>(0x80 | ((code >> 12) & 0x3f)));
  }
  store<u8>(at, <u8>(0x80 | ((code >> 6) & 0x3f)));
  store<u8>(at, <u8>(0x80 | (code & 0x3f)), 1);
  return at + 2;
}

/**
 * Writes the string as UTF-8, at most three bytes a unit; returns the address after it. A
 * surrogate without its other half becomes U+FFFD.
 */
export function putString(to: usize, s: string): usize {
  let at = changetype<usize>(s);
  const end = at + (<usize>s.length << 1);
  // Four units of ASCII at a time.
  while (at + 8 <= end) {
    const four = load<u64>(at);
    if ((four & 0xff80_ff80_ff80_ff80) != 0) break;
    store<u32>(to, <u32>(four | (four >> 8)) & 0xffff | (<u32>((four >> 32) | (four >> 40)) << 16));
    at += 8;
    to += 4;
  }
  while (at < end) {
    let code: u32 = load<u16>(at);
    at += 2;
    if ((code & 0xf800) == 0xd800) {
      const low: u32 = at < end ? load<u16>(at) : 0;
      if (code < 0xdc00 && (low & 0xfc00) == 0xdc00) {
        code = 0x10000 + ((code & 0x3ff) << 10) + (low & 0x3ff);
        at += 2;
      } else {
        code = 0xfffd;
      }
    }
    to = putUtf8(to, code);
  }
  return to;
}
