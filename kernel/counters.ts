// The guest's side of the application's counters. Counting is a load and a store; whether somebody
// reads the numbers, the guest does not know.
import { Counter, CounterKind, COUNTERS_MAX, CounterTable } from "../abi/counters";
import { publishCounters } from "./clock";
import { ToroAllocMem } from "./memory";
import { Span, spanAddress, spanBytes } from "./span";

let table: usize = 0;
/** The value of counters for which there is no room. */
const nowhere: usize = memory.data(8, 8);

/**
 * Makes a counter that the machine's owner can read, and returns the address of its u64, which the
 * application changes as it likes. `name` is in snake_case and may have one label, as in
 * `hits_total{by="name"}`; `help` is a sentence; both stay where they are: they are not copied.
 * There are at most 32; others are counted for nobody. Does not yield.
 */
export function SysCounter(kind: CounterKind, name: Span, help: Span): usize {
  if (table == 0) {
    table = ToroAllocMem(<u32>CounterTable.counters + COUNTERS_MAX * Counter.sizeof);
    if (table == 0) return nowhere;
    publishCounters(table);
  }
  const count = load<u32>(table, CounterTable.count);
  if (count == COUNTERS_MAX) return nowhere;
  const counter = table + CounterTable.counters + count * Counter.sizeof;
  store<u32>(counter, kind, Counter.kind);
  store<u32>(counter, <u32>spanAddress(name), Counter.name);
  store<u32>(counter, spanBytes(name), Counter.nameBytes);
  store<u32>(counter, <u32>spanAddress(help), Counter.help);
  store<u32>(counter, spanBytes(help), Counter.helpBytes);
  store<u32>(table, count + 1, CounterTable.count);
  return counter;
}
