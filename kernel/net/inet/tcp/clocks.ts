// The clocks of TCP: milliseconds for timestamps and for what lasts long, microseconds for round
// trips. Both wrap; they are compared by their distance.
import { nowNs, NS_PER_MS } from "../../../clock";

const NS_PER_US: u64 = 1000;

export function nowMs(): u32 {
  return <u32>(nowNs() / NS_PER_MS);
}

export function nowUs(): u32 {
  return <u32>(nowNs() / NS_PER_US);
}

export function afterMs(ms: u32): u64 {
  return nowNs() + <u64>ms * NS_PER_MS;
}

export function afterUs(us: u32): u64 {
  return nowNs() + <u64>us * NS_PER_US;
}
