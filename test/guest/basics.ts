import { HandleTable } from "torito/kernel/handle";
import {
  kernelParameter,
  parameterBytes,
  parameterNumber,
  parameterNumber64,
} from "torito/kernel/commandline";
import {
  nextDeadline,
  reserveTimer,
  runTimers,
  startTimer,
  stopTimer,
  Timer,
  unreserveTimer,
} from "torito/kernel/timer";
import { NEVER, nowNs, realtimeNs } from "torito/kernel/clock";
import { print, printBytes, printNumber } from "torito/kernel/console";
import { ToroAllocMem } from "torito/kernel/memory";
import { registerDriver } from "torito/kernel/devices";
import { VirtioDevice } from "torito/drivers/virtio";
import { needEvent } from "torito/abi/virtio";
import { vsockCredit } from "torito/abi/vsock";
import { mark, marks } from "./harness";

function noDriver(_: VirtioDevice): i32 {
  return 0;
}

export function test_a_ninth_driver_of_the_application_is_refused(): void {
  for (let i: u32 = 0; i < 8; i++) assert(registerDriver(60 + i, "driver", noDriver));
  assert(!registerDriver(70, "driver", noDriver));
}

// The host boots this image with `port=80 root=site flag bad=8x empty= port=81 wide=4294967296
// long=18446744073709551616`.

export function test_parameters_are_found_by_name_and_by_number(): void {
  const root = kernelParameter("root");
  assert(parameterBytes(root) == 4 && load<u32>(root) == 0x65746973);
  assert(parameterNumber("port", 1) == 80);
  assert(parameterBytes(kernelParameter("port", 1)) == 2);
  assert(kernelParameter("port", 2) == 0);
  assert(kernelParameter("por") == 0);
  assert(kernelParameter("portx") == 0);
  assert(kernelParameter("flag") != 0 && parameterBytes(kernelParameter("flag")) == 0);
  assert(parameterNumber("bad", 7) == 7);
  assert(parameterNumber("empty", 7) == 7);
  assert(parameterNumber("missing", 7) == 7);
}

export function test_a_number_is_not_cut_to_fewer_bits(): void {
  assert(parameterNumber("wide", 7) == 7);
  assert(parameterNumber64("wide", 7) == 4_294_967_296);
  assert(parameterNumber64("port", 7) == 80);
  assert(parameterNumber64("long", 7) == 7);
  assert(parameterNumber64("bad", 7) == 7);
}

export function test_handles_of_removed_objects_find_nothing(): void {
  const table = changetype<HandleTable>(ToroAllocMem(offsetof<HandleTable>()));
  const a = table.add(1000);
  const b = table.add(2000);
  assert(a > 0 && b > 0 && a != b);
  assert(table.get(a) == 1000 && table.get(b) == 2000);
  table.remove(a);
  assert(table.get(a) == 0 && table.count == 1);
  assert(table.get(0) == 0 && table.get(-1) == 0 && table.get(0x7fff_ffff) == 0);
  for (let i: u32 = 0; i < 70_000; i++) {
    const h = table.add(3000 + i);
    assert(h > 0 && h != a && table.get(h) == 3000 + i);
    table.remove(h);
  }
  assert(table.get(a) == 0);
}

export function test_a_table_is_full_at_65536_objects_and_says_so(): void {
  const table = changetype<HandleTable>(ToroAllocMem(offsetof<HandleTable>()));
  for (let i: u32 = 0; i < 65536; i++) assert(table.add(i + 1) > 0);
  assert(table.add(1) == -23);
  // Fresh slots have generation 1.
  for (let i: u32 = 0; i < 65536; i++) assert(table.get(<i32>(0x10000 | i)) == i + 1);
}

function timerMark(arg: usize): void {
  mark(<u32>arg);
}

function newTimer(digit: u32): Timer {
  const timer = changetype<Timer>(ToroAllocMem(offsetof<Timer>()));
  timer.handler = (timerMark as (arg: usize) => void).index;
  timer.arg = digit;
  assert(reserveTimer() == 0);
  return timer;
}

export function test_timers_fire_in_order_and_stopped_ones_never(): void {
  const a = newTimer(1);
  const b = newTimer(2);
  const c = newTimer(3);
  startTimer(a, 300);
  startTimer(b, 100);
  startTimer(c, 200);
  assert(nextDeadline() == 100);
  stopTimer(c);
  stopTimer(c);
  runTimers(99);
  assert(marks() == 0);
  runTimers(1000);
  assert(marks() == 21);
  assert(nextDeadline() == NEVER);
  startTimer(a, NEVER);
  assert(nextDeadline() == NEVER);
  unreserveTimer();
}

let periodic: Timer = changetype<Timer>(0);

export function test_a_handler_may_start_its_timer_again_and_equal_deadlines_all_fire(): void {
  periodic = newTimer(0);
  periodic.handler = ((arg: usize): void => {
    mark(1);
    startTimer(periodic, periodic.deadlineNs + 10);
  }).index;
  startTimer(periodic, 100);
  for (let i = 0; i < 3; i++) startTimer(newTimer(2), 105);
  runTimers(105);
  assert(marks() == 1222);
  runTimers(120);
  assert(marks() == 122211);
  assert(nextDeadline() == 130);
}

export function test_a_thousand_timers_keep_their_order_in_a_random_life(): void {
  const timers = ToroAllocMem(1000 * 4);
  let seed: u32 = 7;
  for (let i: u32 = 0; i < 1000; i++) store<usize>(timers + i * 4, changetype<usize>(newTimer(0)));
  for (let step = 0; step < 20_000; step++) {
    seed = seed * 1664525 + 1013904223;
    const timer = changetype<Timer>(<usize>load<u32>(timers + ((seed >> 8) % 1000) * 4));
    if ((seed & 3) == 0) stopTimer(timer);
    else startTimer(timer, 1 + (seed >> 12));
  }
  let last: u64 = 0;
  while (nextDeadline() != NEVER) {
    assert(nextDeadline() >= last);
    last = nextDeadline();
    runTimers(last);
  }
}

export function test_real_time_goes_with_the_monotonic_clock(): void {
  assert(realtimeNs() >= nowNs());
}

export function test_the_console_writes_utf_8_and_hides_what_is_not_text(): void {
  print("café €2 😀 ");
  printNumber(0);
  print(" ");
  printNumber(u64.MAX_VALUE);
  print("\n");
  const bytes = memory.data<u8>([104, 105, 27, 10, 33]);
  printBytes(bytes, 5);
  print("\n");
}

export function test_a_line_longer_than_the_buffer_of_the_console_arrives_whole(): void {
  for (let i = 0; i < 1000; i++) print("long");
  print("\n");
}

export function test_a_true_assertion_goes_on(): void {
  assert(true, "never said");
}

export function panics_a_false_assertion(): void {
  assert(false, "said");
}

export function test_event_index_rule_of_2_7_10(): void {
  assert(needEvent(0, 1, 0));
  assert(!needEvent(1, 1, 0));
  assert(needEvent(65535, 0, 65535));
  assert(needEvent(65535, 3, 65530));
  assert(!needEvent(65529, 3, 65530));
  assert(!needEvent(3, 3, 65530));
}

export function test_credit_wraps_at_32_bits_and_never_goes_below_zero(): void {
  assert(vsockCredit(100, 10, 0) == 90);
  assert(vsockCredit(100, 5, 0xffff_fffb) == 90);
  assert(vsockCredit(4, 10, 0) == 0);
  assert(vsockCredit(0xffff_ffff, 0, 0) == 0xffff_ffff);
}
