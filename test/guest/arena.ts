import { arenaBytes, arenaMark, arenaRelease } from "../../kernel/arena/arena";
import { BeginThread, SysOnFault, SysKillThread, SysThreadSwitch } from "../../kernel/thread-calls";
import { heapInUse } from "../../kernel/memory";
import { print } from "../../kernel/console";

export { boot, fault, interrupt, run, unfinished } from "./harness";

const table = new Map<string, i32>(); // initialised before boot
table.set("boot", 1);
const names: string[] = ["zero", "one", "two"];
let last: string = "";
let done: i32 = 0;
let switches: i32 = 0;

class Session {
  static recent: Session | null = null;
  constructor(public user: string) {}
}

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

function worker(arg: usize): void {
  const id = <i32>arg;
  for (let round = 0; round < 5; round++) {
    const mark = arenaMark();
    const s = build(id, round);
    let expected = "thread " + id.toString() + ": round " + round.toString();
    for (let i = 0; i < 20; i++) expected += "<" + (id * 1000 + i).toString() + ">";
    expected += id % 3 == 0 ? "zero" : id % 3 == 1 ? "one" : "two";
    assert(s == expected, "wrong string");
    arenaRelease(mark);
  }
  assert(arenaBytes() == 0);
  done++;
}

export function test_torture(): void {
  for (let i = 1; i <= 100; i++) assert(BeginThread(worker, i, 16384) > 0);
  assert(table.get("boot") == 1);
}

export function panics_escape(): void {
  BeginThread((_: usize): void => {
    const mark = arenaMark();
    last = "user " + (5).toString();
    arenaRelease(mark);
  }, 0, 0);
}
export function panics_static(): void {
  BeginThread((_: usize): void => {
    Session.recent = new Session("a");
  }, 0, 0);
}
export function test_fault(): void {
  for (let i = 0; i < 3; i++)
  BeginThread((arg: usize): void => {
    SysOnFault((arg: usize): void => { print("again " + arg.toString() + [1, 2].join("+") + "\n"); });
    const m = new Map<string, i32>();
    m.set("a", 1);
    m.get("b");
  }, i, 0);
}
