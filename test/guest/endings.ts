// Threads that are suspended, joined and killed, in every state that they can be in.
import { Errno } from "torito/abi/errno";
import { NEVER, nowNs, NS_PER_MS } from "torito/kernel/clock";
import {
  Sleep,
  SysEndThread,
  SysJoinThread,
  SysKillThread,
  SysResumeThread,
  SysSuspendThread,
  SysThreadSelf,
  SysThreadSwitch,
} from "torito/kernel/thread-calls";
import { schedule, shield, unshield, wait, wakeAll, wakeSome } from "torito/kernel/scheduler";
import { threadCount, WaitQueue } from "torito/kernel/thread";
import { inUse, mark, marks, thread } from "./harness";

const queue = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
const other = changetype<WaitQueue>(memory.data(offsetof<WaitQueue>()));
let victim: i32 = 0;

export function test_suspend_stops_a_ready_thread_until_resume(): void {
  victim = thread((_: usize): void => {
    mark(2);
  });
  assert(SysSuspendThread(victim) == 0);
  thread((_: usize): void => {
    mark(1);
  });
  schedule(100);
  assert(marks() == 1);
  assert(SysResumeThread(victim) == 0);
  schedule(100);
  assert(marks() == 12);
  assert(SysResumeThread(victim) == -Errno.ESRCH);
}

export function test_suspend_of_a_waiting_thread_holds_it_after_its_wake_up(): void {
  victim = thread((_: usize): void => {
    wait(queue, NEVER);
    mark(3);
  });
  schedule(100);
  SysSuspendThread(victim);
  wakeAll(queue);
  schedule(100);
  assert(marks() == 0);
  SysResumeThread(victim);
  schedule(100);
  assert(marks() == 3);
}

export function test_a_thread_suspends_itself(): void {
  victim = thread((_: usize): void => {
    mark(1);
    assert(SysSuspendThread(0) == 0);
    mark(3);
  });
  schedule(100);
  mark(2);
  SysResumeThread(victim);
  schedule(100);
  assert(marks() == 123);
}

export function test_join_waits_for_the_end(): void {
  victim = thread((_: usize): void => {
    Sleep(10);
    mark(1);
  });
  for (let i = 0; i < 3; i++) {
    thread((_: usize): void => {
      assert(SysJoinThread(victim, -1) == 0);
      mark(2);
    });
  }
  thread((_: usize): void => {
    assert(SysJoinThread(victim, 5) == -Errno.ETIMEDOUT);
    mark(9);
    assert(SysJoinThread(SysThreadSelf(), 5) == -Errno.EDEADLK);
    Sleep(20);
    assert(marks() == 91222);
    assert(SysJoinThread(victim, 5) == -Errno.ESRCH);
  });
}

export function test_killing_a_waiting_thread_frees_it_and_wakes_its_joiners(): void {
  thread((_: usize): void => {});
  schedule(1);
  const before = inUse();
  victim = thread((_: usize): void => {
    wait(queue, nowNs() + 1000 * NS_PER_MS);
    mark(9);
  });
  thread((_: usize): void => {
    assert(SysJoinThread(victim, -1) == 0);
    mark(1);
  });
  schedule(100);
  assert(SysKillThread(victim) == 0);
  schedule(100);
  assert(marks() == 1);
  assert(!queue.first);
  assert(threadCount() == 0);
  assert(inUse() == before);
  assert(SysKillThread(victim) == -Errno.ESRCH);
}

export function test_killing_threads_that_are_new_suspended_asleep_or_yielding(): void {
  thread((_: usize): void => {});
  schedule(1);
  const before = inUse();
  const fresh = thread((_: usize): void => {
    mark(9);
  });
  SysKillThread(fresh);
  const suspended = thread((_: usize): void => {
    SysSuspendThread(0);
    mark(9);
  });
  const asleep = thread((_: usize): void => {
    Sleep(1000);
    mark(9);
  });
  const yielding = thread((_: usize): void => {
    while (true) SysThreadSwitch();
  });
  schedule(100);
  SysKillThread(suspended);
  SysKillThread(asleep);
  SysKillThread(yielding);
  schedule(100);
  assert(marks() == 0);
  assert(threadCount() == 0);
  assert(inUse() == before);
}

export function test_a_shielded_thread_dies_only_behind_its_shield(): void {
  victim = thread((_: usize): void => {
    shield();
    wait(queue, NEVER);
    mark(1);
    unshield();
    mark(9);
  });
  schedule(100);
  SysKillThread(victim);
  schedule(100);
  assert(threadCount() == 1);
  wakeAll(queue);
  schedule(100);
  assert(marks() == 1);
  assert(threadCount() == 0);
}

export function test_a_wake_up_of_a_thread_that_is_killed_goes_to_the_next(): void {
  victim = thread((_: usize): void => {
    wait(other, NEVER);
    mark(9);
  });
  thread((_: usize): void => {
    wait(other, NEVER);
    mark(1);
  });
  schedule(100);
  wakeSome(other, 1);
  SysKillThread(victim);
  schedule(100);
  assert(marks() == 1);
}

export function test_a_wake_up_of_a_thread_that_is_suspended_goes_to_the_next(): void {
  const before = thread((_: usize): void => {
    wait(other, NEVER);
    mark(3);
  });
  victim = thread((_: usize): void => {
    wait(other, NEVER);
    mark(4);
  });
  for (let i = 0; i < 2; i++) {
    thread((_: usize): void => {
      wait(other, NEVER);
      mark(1);
    });
  }
  schedule(100);
  SysSuspendThread(before);
  wakeSome(other, 1); // the first is suspended already: it is woken, but the next one acts
  SysSuspendThread(victim); // and is suspended before it has run
  schedule(100);
  assert(marks() == 1);
  wakeSome(other, 1);
  schedule(100);
  assert(marks() == 11);
  SysResumeThread(before);
  SysResumeThread(victim);
  schedule(100);
  assert(marks() == 1134);
}

export function test_a_killed_thread_behind_its_shield_cannot_be_held_by_a_suspension(): void {
  for (let order = 0; order < 2; order++) {
    victim = thread((_: usize): void => {
      shield();
      wait(queue, NEVER);
      mark(1);
      unshield();
      mark(9);
    });
    schedule(100);
    if (order == 0) SysSuspendThread(victim);
    SysKillThread(victim);
    SysKillThread(victim);
    if (order == 1) SysSuspendThread(victim);
    wakeAll(queue);
    schedule(100);
    assert(threadCount() == 0);
  }
  assert(marks() == 11);
}

export function test_a_suspended_thread_behind_its_shield_can_be_killed_after_its_wake_up(): void {
  victim = thread((_: usize): void => {
    shield();
    wait(queue, NEVER);
    unshield();
    mark(9);
  });
  schedule(100);
  SysSuspendThread(victim);
  wakeAll(queue);
  SysKillThread(victim);
  schedule(100);
  assert(threadCount() == 0 && marks() == 0);
}

export function test_killing_a_joiner_or_a_thread_with_joiners_leaves_no_trace(): void {
  thread((_: usize): void => {});
  schedule(1);
  const before = inUse();
  victim = thread((_: usize): void => {
    wait(queue, NEVER);
  });
  const joiner = thread((_: usize): void => {
    SysJoinThread(victim, 1000);
    mark(9);
  });
  schedule(100);
  SysKillThread(joiner);
  SysKillThread(victim);
  schedule(100);
  assert(threadCount() == 0 && marks() == 0 && inUse() == before);
}

export function test_a_thread_ends_itself_in_the_middle(): void {
  thread((_: usize): void => {
    mark(1);
    SysEndThread();
    mark(9);
  });
  const suicidal = thread((_: usize): void => {
    SysKillThread(SysThreadSelf());
    mark(9);
  });
  schedule(100);
  assert(marks() == 1);
  assert(SysJoinThread(suicidal, 0) == -Errno.ESRCH);
}
