// `uri-host [ ":" port ]`, as a Host field and an absolute target have it (RFC 9110, 7.2; RFC 3986,
// 3.2.2). A leaf.
import { NAME, skip } from "./characters";
import { hexDigit } from "./text";

const PERCENT: u32 = 0x25;
const DOT: u32 = 0x2e;
const COLON: u32 = 0x3a;
const OPEN: u32 = 0x5b;
const CLOSE: u32 = 0x5d;

/** Is it one, perhaps with an empty host? User information, which can deceive, is none (4.2.4). */
export function isAuthority(at: usize, bytes: u32): bool {
  const end = at + bytes;
  const host = hostEnd(at, end);
  if (host == 0) return false;
  if (host == end) return true;
  if (load<u8>(host) != COLON) return false;
  return skipDigits(host + 1, end) == end;
}

/** The end of a host that begins at `at`; 0: it is malformed. */
export function hostEnd(at: usize, end: usize): usize {
  if (at < end && load<u8>(at) == OPEN) {
    let close = at + 1;
    while (close < end && load<u8>(close) != CLOSE) close++;
    if (close == end) return 0;
    return isAddress(at + 1, close) || isFuture(at + 1, close) ? close + 1 : 0;
  }
  let p = skip(at, end, NAME);
  while (p < end && load<u8>(p) == PERCENT) {
    if (end - p < 3 || (hexDigit(load<u8>(p, 1)) | hexDigit(load<u8>(p, 2))) > 15) return 0;
    p = skip(p + 3, end, NAME);
  }
  return p;
}

/** An IPv6 address: eight groups, or fewer with one `::`; IPv4 may stand for the last two. */
function isAddress(at: usize, end: usize): bool {
  let groups: u32 = 0;
  let elided = false;
  let p = at;
  if (end - p >= 2 && load<u16>(p) == 0x3a3a) {
    elided = true;
    p += 2;
  }
  while (p < end) {
    const start = p;
    while (p < end && hexDigit(load<u8>(p)) < 16) p++;
    if (p < end && load<u8>(p) == DOT) {
      if (!isAddress4(start, end)) return false;
      groups += 2;
      break;
    }
    if (p == start || p - start > 4) return false;
    groups++;
    if (p == end) break;
    if (load<u8>(p++) != COLON || p == end) return false;
    if (load<u8>(p) != COLON) continue;
    if (elided) return false;
    elided = true;
    p++;
  }
  return elided ? groups < 8 : groups == 8;
}

function isAddress4(at: usize, end: usize): bool {
  let p = at;
  for (let i = 0; i < 4; i++) {
    if (i != 0 && (p == end || load<u8>(p++) != DOT)) return false;
    const start = p;
    let value: u32 = 0;
    for (; p < end && <u32>load<u8>(p) - 0x30 < 10 && value < 256; p++) {
      value = value * 10 + load<u8>(p) - 0x30;
    }
    if (p == start || value > 255 || (load<u8>(start) == 0x30 && p - start > 1)) return false;
  }
  return p == end;
}

/** `v`, a version, a dot and anything: an address of an IP to come. */
function isFuture(at: usize, end: usize): bool {
  if (at == end || (<u32>load<u8>(at) | 0x20) != 0x76) return false;
  let p = at + 1;
  while (p < end && hexDigit(load<u8>(p)) < 16) p++;
  if (p == at + 1 || p == end || load<u8>(p) != DOT || p + 1 == end) return false;
  p++;
  while (p < end && (load<u8>(p) == COLON || skip(p, p + 1, NAME) != p)) p++;
  return p == end;
}

function skipDigits(p: usize, end: usize): usize {
  while (p < end && <u32>load<u8>(p) - 0x30 < 10) p++;
  return p;
}
