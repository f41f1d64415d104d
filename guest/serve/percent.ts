// Percent-encoding of paths and queries (RFC 3986, 2.1).
import { hexDigit } from "../http/text";
import { decodeUtf8 } from "../utf8";

const PERCENT: u32 = 0x25;
const PLUS: u32 = 0x2b;

/** Decodes what is encoded; a broken escape stays as it is. In a form `+` is a space. */
export function percentDecode(at: usize, bytes: u32, isForm: bool): string {
  const buffer = changetype<usize>(__new(bytes, idof<ArrayBuffer>()));
  const end = at + bytes;
  let to = buffer;
  for (let p = at; p < end; p++) {
    let c: u32 = load<u8>(p);
    if (c == PLUS && isForm) {
      c = 0x20;
    } else if (c == PERCENT && end - p > 2) {
      const high = hexDigit(load<u8>(p, 1));
      const low = hexDigit(load<u8>(p, 2));
      if ((high | low) <= 15) {
        c = (high << 4) | low;
        p += 2;
      }
    }
    store<u8>(to++, c);
  }
  return decodeUtf8(buffer, <u32>(to - buffer));
}
