// A kernel whose clocks, generation and console a test of snapshots can ask for.
import { GENERATION_BYTES } from "torito/abi/boot";
import {
  BeginThread,
  clock,
  CounterKind,
  isDraining,
  nowNs,
  print,
  realtimeNs,
  settingsGeneration,
  Sleep,
  Span,
  SysCounter,
  SysGeneration,
  text,
} from "torito/kernel/api";
import { clock_time_get } from "torito/kernel/wasi_snapshot_preview1";

export { ToroGetMem } from "torito/kernel/api";

const bytes = memory.data(16);
if (GENERATION_BYTES != 16) ERROR("snapshots: generation");
let woken: u32 = 0;

function sleeper(_: usize): void {
  Sleep(10_000);
  woken = 1;
}

export function sleepTenSeconds(): void {
  assert(BeginThread(sleeper, 0, 0) > 0);
}

export function awake(): u32 {
  return woken;
}

export function monotonic(): u64 {
  return nowNs();
}

export function hypercall(): u64 {
  return clock();
}

export function firmware(): u64 {
  assert(clock_time_get(1, 1, bytes) == 0);
  return load<u64>(bytes);
}

export function wall(): u64 {
  return realtimeNs();
}

/** The address of a copy. */
export function generation(): usize {
  assert(SysGeneration(0) < 0 && SysGeneration(bytes) == 0);
  return bytes;
}

export function random(): f64 {
  return Math.random();
}

export function sayHalf(): void {
  print("one half");
}

export function sayRest(): void {
  print(" and the rest\n");
}

export function fail(): void {
  assert(false, "on purpose");
}

export function draining(): bool {
  return isDraining();
}

export function settings(): u32 {
  return settingsGeneration();
}

/** Makes one that grows by `by`, `times` times. */
export function countMany(times: i32, by: u32): void {
  const help = text("Of a test.");
  const name: Span = text('tries_total{result="good"}');
  for (let i = 0; i < times; i++) {
    const counter = SysCounter(CounterKind.Counter, name, help);
    store<u64>(counter, load<u64>(counter) + by);
  }
}
