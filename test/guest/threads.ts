import { Errno } from "torito/abi/errno";
import { NEVER, nowNs, NS_PER_MS } from "torito/kernel/clock";
import { ToroAllocMem, ToroFreeMem } from "torito/kernel/memory";
import {
  BeginThread,
  Sleep,
  SysJoinThread,
  SysKillThread,
  SysResumeThread,
  SysThreadSelf,
  SysThreadSwitch,
} from "torito/kernel/thread-calls";
import { schedule, switchCount, wait, wakeAll, wakeSome, yieldNow } from "torito/kernel/scheduler";
import { threadCount, WaitQueue } from "torito/kernel/thread";
import { inUse, mark, marks, thread } from "./harness";

const queue = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
let counter: u32 = 0;
let victim: i32 = 0;
const naps: StaticArray<u32> = [30, 10, 20, 40, 10];

function marker(arg: usize): void {
  for (let i = 0; i < 3; i++) {
    mark(<u32>arg);
    SysThreadSwitch();
  }
}

export function test_threads_take_turns_first_in_first_out(): void {
  thread(marker, 1);
  thread(marker, 2);
  thread(marker, 3);
  schedule(100);
  assert(marks() == 123123123);
}

export function test_a_thread_gets_its_argument_and_its_own_id(): void {
  const id = thread((arg: usize): void => {
    assert(arg == 77);
    victim = SysThreadSelf();
  }, 77);
  schedule(100);
  assert(victim == id);
}

function deep(level: u32, x: u64): u64 {
  if (level == 0) {
    SysThreadSwitch();
    return x;
  }
  const y = x * 3 + level;
  const z = deep(level - 1, y);
  return z ^ y;
}
function plain(level: u32, x: u64): u64 {
  if (level == 0) return x;
  const y = x * 3 + level;
  return plain(level - 1, y) ^ y;
}

export function test_locals_survive_switches_in_deep_calls(): void {
  for (let i: u32 = 1; i <= 60; i++) {
    thread((arg: usize): void => {
      for (let level: u32 = 0; level < 20; level++) {
        assert(deep(level, arg) == plain(level, arg));
      }
      counter++;
    }, i);
  }
  schedule(1_000_000);
  assert(counter == 60);
}

export function test_ten_thousand_threads_live_at_once_and_leave_no_trace(): void {
  thread((_: usize): void => {}); // the tables grow once
  schedule(1);
  for (let round = 0; round < 2; round++) {
    const before = inUse();
    counter = 0;
    for (let i = 0; i < 10_000; i++) {
      thread((_: usize): void => {
        counter++;
        wait(queue, NEVER);
        counter++;
      });
    }
    schedule(1_000_000);
    assert(threadCount() == 10_000);
    assert(counter == 10_000);
    wakeAll(queue);
    schedule(1_000_000);
    assert(counter == 20_000);
    assert(threadCount() == 0);
    // Only the tables of handles and timers grew in the first round.
    assert(round == 0 || inUse() == before);
  }
}

export function test_a_million_threads_in_sequence_leave_no_trace(): void {
  thread((_: usize): void => {});
  schedule(1);
  const before = inUse();
  for (let i = 0; i < 1_000_000; i++) {
    thread((_: usize): void => {
      counter++;
    });
    schedule(1);
  }
  assert(counter == 1_000_000);
  assert(inUse() == before);
}

export function test_no_memory_for_a_thread_is_an_error(): void {
  let last: i32 = 1;
  while (last > 0) last = BeginThread((_: usize): void => {}, 0, 1_000_000);
  assert(last == -Errno.ENOMEM);
  schedule(1_000);
  thread((_: usize): void => {
    counter++;
  });
  schedule(10);
  assert(counter == 1);
}

export function test_the_budget_is_counted_in_switches(): void {
  for (let i = 0; i < 4; i++) {
    thread((_: usize): void => {
      while (counter < 1000) {
        counter++;
        SysThreadSwitch();
      }
    });
  }
  const before = switchCount();
  assert(schedule(7) == 0);
  assert(switchCount() - before == 7);
  assert(counter == 7);
  schedule(2000);
}

export function test_wait_queues_wake_the_oldest_first(): void {
  for (let i: u32 = 1; i <= 4; i++) {
    thread((arg: usize): void => {
      wait(queue, NEVER);
      mark(<u32>arg);
    }, i);
  }
  schedule(100);
  wakeSome(queue, 1);
  schedule(100);
  assert(marks() == 1);
  wakeSome(queue, 2);
  schedule(100);
  assert(marks() == 123);
  wakeAll(queue);
  schedule(100);
  assert(marks() == 1234);
}

export function test_a_wait_that_nobody_ends_times_out(): void {
  thread((_: usize): void => {
    const before = nowNs();
    assert(wait(queue, nowNs() + 5 * NS_PER_MS) == -Errno.ETIMEDOUT);
    assert(nowNs() - before >= 5 * NS_PER_MS);
    assert(!queue.first);
  });
}

export function test_a_woken_thread_does_not_time_out_later(): void {
  thread((_: usize): void => {
    assert(wait(queue, nowNs() + 5 * NS_PER_MS) == 0);
    assert(wait(queue, nowNs() + 50 * NS_PER_MS) == -Errno.ETIMEDOUT);
    assert(nowNs() >= 50 * NS_PER_MS);
  });
  thread((_: usize): void => {
    wakeAll(queue);
  });
}

export function test_sleepers_wake_in_the_order_of_their_deadlines(): void {
  for (let i: u32 = 0; i < 5; i++) {
    thread((arg: usize): void => {
      Sleep(<u32>arg & 0xff);
      mark(<u32>(arg >> 8));
    }, unchecked(naps[i]) | ((i + 1) << 8));
  }
  thread((_: usize): void => {
    Sleep(100);
    assert(marks() == 25314);
  });
}

export function test_sleep_0_lets_others_run_and_comes_back(): void {
  thread((_: usize): void => {
    mark(1);
    Sleep(0);
    mark(3);
    assert(SysJoinThread(thread((_: usize): void => Sleep(1)), i64.MAX_VALUE) == 0);
    mark(4);
  });
  thread((_: usize): void => {
    mark(2);
    Sleep(5);
    assert(marks() == 1234);
  });
}

export function test_a_save_area_beyond_all_measure_is_refused(): void {
  assert(BeginThread((_: usize): void => {}, 0, u32.MAX_VALUE) == -Errno.EINVAL);
  assert(BeginThread((_: usize): void => {}, 0, (1 << 24) + 1) == -Errno.EINVAL);
  assert(threadCount() == 0);
}

export function test_a_stale_id_is_nobody_even_when_its_slot_is_used_again(): void {
  const first = thread((_: usize): void => {});
  schedule(10);
  for (let i = 0; i < 1000; i++) {
    const next = thread((_: usize): void => {});
    assert(next != first);
    schedule(10);
  }
  assert(SysKillThread(first) == -Errno.ESRCH);
  assert(SysResumeThread(0) == -Errno.ESRCH);
  assert(SysResumeThread(-5) == -Errno.ESRCH);
}

/** Three threads that wait for ever. */
export function idle(): void {
  for (let i = 0; i < 3; i++) {
    thread((_: usize): void => {
      wait(queue, NEVER);
    });
  }
}

export function switches(): u32 {
  return <u32>switchCount();
}

export function panics_wait_outside_a_thread(): void {
  wait(queue, NEVER);
}

export function panics_scheduler_entered_from_a_thread(): void {
  thread((_: usize): void => {
    schedule(1);
  });
  schedule(1);
}

function endless(level: u32): u32 {
  if (level == 0) {
    yieldNow();
    return 0;
  }
  return endless(level - 1) + level;
}

export function panics_save_area_overflow(): void {
  // Memory after the area, so that the overrun hurts nobody before it is seen.
  const spare = ToroAllocMem(8_000_000);
  ToroFreeMem(spare);
  thread((_: usize): void => {
    endless(2000);
  });
  thread((_: usize): void => {});
  schedule(10);
}
