// From the path of a request target to one in the served directory. A leaf.
import { hexDigit } from "./text";

/**
 * Decodes [path, end) once into `out`, which has room for as many bytes (HF9). Returns the length;
 * -400 for a broken escape, a NUL, or a `..` component, however it is encoded: it is refused, never
 * resolved; or -404 for an encoded slash, which no name has.
 */
export function decodePath(path: usize, end: usize, out: usize): i32 {
  let at = out;
  let component = out; // the start of the present component
  for (let p = path; p <= end; p++) {
    let c: u32 = p == end ? 0x2f : load<u8>(p);
    if (c == 0x25) {
      if (end - p < 3) return -400;
      const high = hexDigit(load<u8>(p, 1));
      const low = hexDigit(load<u8>(p, 2));
      c = (high << 4) | low;
      if (c == 0 || (high | low) > 15) return -400;
      if (c == 0x2f) return -404;
      p += 2;
    }
    if (c == 0x2f) {
      if (at - component == 2 && load<u16>(component) == 0x2e2e) return -400;
      component = at + 1;
      if (p == end) break;
    }
    store<u8>(at++, c);
  }
  return <i32>(at - out);
}
