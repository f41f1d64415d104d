// A kernel that says what time it is.
import { nowNs, realtimeNs } from "torito/kernel/clock";

export function monotonic(): u64 {
  return nowNs();
}

export function wall(): u64 {
  return realtimeNs();
}
