// The text of paths: bytes between slashes. No function here looks at files.
export const SLASH: u32 = 0x2f;
export const DOT: u32 = 0x2e;

export function skipSlashes(p: usize, end: usize): usize {
  while (p < end && load<u8>(p) == SLASH) p++;
  return p;
}

export function nameEnd(p: usize, end: usize): usize {
  while (p < end && load<u8>(p) != SLASH) p++;
  return p;
}

/** Returns 1 for ".", 2 for "..", else 0. */
export function dotsIn(name: usize, bytes: u32): u32 {
  if (bytes > 2 || load<u8>(name) != DOT) return 0;
  if (bytes == 1) return 1;
  return load<u8>(name, 1) == DOT ? 2 : 0;
}

export function endsInSlash(path: usize, end: usize): bool {
  return end > path && load<u8>(end - 1) == SLASH;
}

/** Does the path name the directory where it begins? */
export function isEmpty(path: usize, end: usize): bool {
  return skipSlashes(path, end) == end;
}

export function hasNul(name: usize, bytes: u32): bool {
  for (let i: u32 = 0; i < bytes; i++) if (load<u8>(name + i) == 0) return true;
  return false;
}
