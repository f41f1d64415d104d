// From a request target to a path in the served directory. A leaf.
import { spanAddress, text } from "../../kernel/api";
import { hexDigit } from "./text";

/** The path of a target in absolute form without one (RFC 9112, 3.2.2). */
export const ROOT: usize = spanAddress(text("/"));

/** The start of the path in a target, after scheme and authority if it has them, or 0. */
export function pathStart(target: usize, bytes: u32): usize {
  const end = target + bytes;
  if (load<u8>(target) == 0x2f) return target;
  for (let p = target; p + 2 < end; p++) {
    if (load<u8>(p) != 0x3a || load<u8>(p, 1) != 0x2f || load<u8>(p, 2) != 0x2f) continue;
    p += 3;
    while (p < end && load<u8>(p) != 0x2f) p++;
    return p < end ? p : ROOT;
  }
  return 0;
}

/** The end of the path: before `?` and `#`. */
export function pathEnd(path: usize, end: usize): usize {
  let p = path;
  while (p < end && load<u8>(p) != 0x3f && load<u8>(p) != 0x23) p++;
  return p;
}

/**
 * Decodes [path, end) into `out`, which has room for as many bytes. Returns the length, or -400 for
 * a broken escape, a NUL, or a `..` component, however it is encoded: it is refused, never
 * resolved.
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
