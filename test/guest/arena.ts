// Objects of applications: test/kernel/arena.test.ts.
import { arenaBytes, arenaMark, arenaRelease } from "torito/kernel/arena/arena";
import { print } from "torito/kernel/console";
import { heapInUse, ToroFreeMem, ToroGetMem } from "torito/kernel/memory";
import { threadCount } from "torito/kernel/thread";
import {
  BeginThread,
  Sleep,
  SysJoinThread,
  SysKillThread,
  SysOnFault,
  SysThreadSwitch,
} from "torito/kernel/thread-calls";

class Session {
  static recent: Session | null = null;
  constructor(public user: string) {}
}

// Initialised before boot, and kept.
const table = new Map<string, i32>();
table.set("boot", 1);
const names: string[] = ["zero", "one", "two"];
const large = new StaticArray<u8>(100_000);

let last: string = "";
let sessions = new Map<string, Session>();
let finished: i32 = 0;
let switches: i32 = 0;
let victim: i32 = 0;

function begin(body: (arg: usize) => void, arg: usize = 0): i32 {
  const id = BeginThread(body, arg, 16384);
  assert(id > 0);
  return id;
}

/** Threads that have not ended. */
export function living(): u32 {
  return threadCount();
}

export function counted(): i32 {
  return finished;
}

export function switched(): i32 {
  return switches;
}

export function heap(): u32 {
  return <u32>heapInUse();
}

// --- threads that switch while they build

function pause(): string {
  SysThreadSwitch();
  switches++;
  return "";
}

function build(id: i32, round: i32): string {
  let s = `thread ${id}` + pause() + `: round ${round}` + pause();
  const parts = new Array<string>();
  for (let i = 0; i < 20; i++) {
    parts.push(`${id * 1000 + i}` + (i % 5 == 0 ? pause() : ""));
  }
  const map = new Map<string, string>();
  for (let i = 0; i < 20; i++) {
    map.set(parts[i], `<${parts[i]}>` + (i % 7 == 0 ? pause() : ""));
  }
  for (let i = 0; i < 20; i++) s += map.get(parts[i]);
  return s + names[id % 3];
}

function builder(arg: usize): void {
  const id = <i32>arg;
  for (let round = 0; round < 5; round++) {
    const mark = arenaMark();
    const s = build(id, round);
    let expected = "thread " + id.toString() + ": round " + round.toString();
    for (let i = 0; i < 20; i++) expected += "<" + (id * 1000 + i).toString() + ">";
    expected += names[id % 3];
    assert(s == expected, "a string of another thread");
    arenaRelease(mark);
    assert(arenaBytes() == 0, "an idle thread holds chunks");
  }
  finished++;
}

export function builders(): void {
  for (let i = 1; i <= 100; i++) begin(builder, i);
}

// --- scopes

export function requests(count: i32): void {
  begin((arg: usize): void => {
    for (let i = 0; i < <i32>arg; i++) {
      const mark = arenaMark();
      const parts = new Array<string>();
      for (let n = 0; n < 500; n++) parts.push(n.toString());
      assert(parts.join(",").length == 1889);
      arenaRelease(mark);
    }
    finished++;
  }, count);
}

export function nested(): void {
  begin((_: usize): void => {
    const outer = "outer " + (1).toString();
    for (let i = 0; i < 100; i++) {
      const mark = arenaMark();
      const many = new Array<string>();
      for (let n = 0; n < 1000; n++) many.push("inner " + n.toString());
      arenaRelease(mark);
    }
    assert(outer == "outer 1");
    assert(arenaBytes() <= 2 * 4096);
    finished++;
  });
}

export function ends(): void {
  begin((_: usize): void => {
    assert([1, 2, 3].join("+").length == 5);
    finished++;
  });
}

export function is_killed(): void {
  victim = begin((_: usize): void => {
    const s = "half " + (1).toString() + pause() + pause();
    Sleep(1000);
    finished += s.length * 100;
  });
  begin((_: usize): void => {
    Sleep(10);
    assert(SysKillThread(victim) == 0);
    SysJoinThread(victim, -1);
    finished++;
  });
}

export function initialised(): void {
  begin((_: usize): void => {
    assert(table.get("boot") == 1 && names[2] == "two" && large.length == 100_000);
    large[99_999] = 7;
    finished++;
  });
}

export function the_world(): void {
  begin((_: usize): void => {
    assert(Date.now() == 1_700_000_000_000 && new Date(Date.now()).getUTCFullYear() == 2023);
    assert(performance.now() >= 0);
    const bytes = new Uint8Array(16);
    crypto.getRandomValues(bytes);
    assert(bytes[0] == 7 && bytes[15] == 7);
    const random = Math.random();
    assert(random >= 0 && random < 1);
    console.log("logged " + (1.5).toString());
    trace("traced", 2, 1, 2.5);
    finished++;
  });
}

// --- faults

function again(arg: usize): void {
  print("again " + arg.toString() + "\n");
  finished++;
}

export function missing_key(): void {
  for (let i = 0; i < 3; i++) {
    begin((arg: usize): void => {
      SysOnFault(again, arg + 7);
      const map = new Map<string, i32>();
      map.set("a", 1);
      map.get("b");
    }, i);
  }
}

export function builds_for_ever(): void {
  begin((arg: usize): void => {
    SysOnFault(again, arg + 7);
    let s = "x";
    while (true) s += s;
  });
}

/** Beyond what a machine of 16 MiB has. */
export function runs_out_of_memory(): void {
  begin((arg: usize): void => {
    SysOnFault(again, arg + 7);
    const taken = new Array<StaticArray<u8>>();
    while (true) taken.push(new StaticArray<u8>(1 << 20));
  });
}

export function faults_in_a_circle(): void {
  begin(circle);
}

function circle(_: usize): void {
  SysOnFault(circle, 0);
  finished++;
  assert(false, "again and again");
}

export function panics_in_its_fault_entry(): void {
  begin((_: usize): void => {
    SysOnFault((_: usize): void => {
      assert(false, "second");
    }, 0);
    assert(false, "first");
  });
}

export function panics_in_the_kernel(): void {
  begin((arg: usize): void => {
    SysOnFault(again, arg + 7);
    const block = ToroGetMem(8);
    ToroFreeMem(block);
    ToroFreeMem(block);
  });
}

export function panics_without_a_fault_entry(): void {
  begin((_: usize): void => {
    assert(false, "not caught");
  });
}

// --- what checks find

export function panics_a_global_string(): void {
  begin((_: usize): void => {
    const mark = arenaMark();
    last = "user " + (5).toString();
    arenaRelease(mark);
  });
}

export function panics_an_object_in_a_map(): void {
  begin((_: usize): void => {
    const mark = arenaMark();
    sessions.set("id", new Session("bob" + (1).toString()));
    arenaRelease(mark);
  });
}

export function panics_a_static_field(): void {
  begin((_: usize): void => {
    Session.recent = new Session("a");
  });
}

export function panics_a_stale_string(): void {
  begin((_: usize): void => {
    const mark = arenaMark();
    const s = "kept " + (1).toString();
    arenaRelease(mark);
    print(s + "!");
  });
}

export function panics_outside_a_thread(): void {
  last = "outside " + (5).toString();
}

export function panics_the_limit(): void {
  begin((_: usize): void => {
    let s = "x";
    while (true) s += s;
  });
}
