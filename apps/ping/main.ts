// Ping: asks another machine for echoes, a second apart. Powers off with 0 if all were answered.
// Kernel parameters: net.address=10.0.0.1/24, or none to have it by DHCP; to=10.0.0.2, count=3.
import { parameterNumber, print, printNumber, Sleep } from "torito/kernel/api";
import {
  parameterAddress,
  printAddress,
  SysPing,
  SysWaitForAddress,
  useInternet,
} from "torito/kernel/internet";

const DATA_BYTES: u32 = 56;
const TIMEOUT_MS: u32 = 1000;
const ADDRESS_MS: i32 = 30_000;
const INTERVAL_MS: u32 = 1000;
const NS_PER_US: i64 = 1000;

useInternet();

export function main(): i32 {
  const to = parameterAddress("to");
  const count = parameterNumber("count", 3);
  let answered: u32 = 0;
  SysWaitForAddress(ADDRESS_MS); // if there is none, the pings say so
  for (let i: u32 = 0; i < count; i++) {
    if (i != 0) Sleep(INTERVAL_MS);
    const ns = SysPing(to, DATA_BYTES, TIMEOUT_MS);
    if (ns >= 0) answered++;
    report(to, ns);
  }
  return answered == count ? 0 : 1;
}

function report(to: u32, ns: i64): void {
  print("Ping: ");
  printAddress(to);
  if (ns < 0) {
    print(" fails with error ");
    printNumber(-ns);
  } else {
    print(" answers after ");
    printNumber(ns / NS_PER_US);
    print(" us");
  }
  print("\n");
}
