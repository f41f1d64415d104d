// Attributes and time-outs as a FUSE server sends them: whether they can be true, and in the units
// of the kernel.
import { FuseAttr, FuseType } from "../../abi/fuse";
import { NEVER, NS_PER_S } from "../clock";

/** A validity of as many seconds or more never ends. */
const VALID_S_MAX: u64 = 1 << 32;
/** More seconds do not fit 64 bits of nanoseconds. */
const TIME_S_MAX: i64 = 9_223_372_035;

/** When a validity ends that was asked for at `sentNs`; the answer is no newer than that. */
export function validUntil(sentNs: u64, seconds: u64, nanoseconds: u32): u64 {
  if (seconds >= VALID_S_MAX) return NEVER;
  return sentNs + seconds * NS_PER_S + min<u64>(nanoseconds, NS_PER_S - 1);
}

/** Nanoseconds since 1970, clamped to 64 bits. */
export function timeOf(seconds: i64, nanoseconds: u32): i64 {
  const s = min(max(seconds, -TIME_S_MAX), TIME_S_MAX);
  return s * <i64>NS_PER_S + <i64>min<u64>(nanoseconds, NS_PER_S - 1);
}

/** The FuseType in a FuseAttr. */
export function typeIn(attr: usize): u32 {
  return load<u32>(attr, FuseAttr.mode) >> 12;
}

/** Can that be a file? Attributes that cannot be true are not believed (D15). */
export function isSane(attr: usize): bool {
  switch (typeIn(attr)) {
    case FuseType.FIFO:
    case FuseType.CHR:
    case FuseType.DIR:
    case FuseType.BLK:
    case FuseType.REG:
    case FuseType.LNK:
    case FuseType.SOCK:
      return load<u64>(attr, FuseAttr.size) <= <u64>i64.MAX_VALUE;
    default:
      return false;
  }
}
