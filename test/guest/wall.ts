// A kernel that says what time it is.
import { nowNs, realtimeNs } from "../../kernel/clock";
import { kernelMain } from "../../kernel/main";

export { interrupt, run } from "../../kernel/main";

export function boot(bootInfo: usize): void {
  kernelMain(bootInfo, null);
}

export function monotonic(): u64 {
  return nowNs();
}

export function wall(): u64 {
  return realtimeNs();
}
