// The counters that an application shows, read from its memory. The table, its texts and their
// places are the guest's: nothing of them is trusted.
import { TIME_PAGE_ADDRESS, TimePage } from "../abi/boot.ts";
import {
  COUNTER_TEXT_BYTES_MAX,
  COUNTERS_MAX,
  Counter,
  CounterKind,
  CounterTable,
} from "../abi/counters.ts";
import type { GuestMemory } from "./memory.ts";

/** A number that an application shows. */
export interface AppCounter {
  /** In snake_case; that of a counter ends in _total, that of a gauge does not. */
  readonly name: string;
  /** null: none. Counters of one name have one label, of different values. */
  readonly label: { readonly name: string; readonly value: string } | null;
  readonly kind: "counter" | "gauge";
  readonly help: string;
  readonly value: number;
}

const NAME = /^([a-z][a-z0-9_]*)(?:\{([a-z][a-z0-9_]*)="([a-z0-9_]+)"\})?$/;
/** One line of visible text. */
const HELP = /^[ -~]+$/;

/** Those of the table that are well formed, in its order. None is there twice. */
export function readCounters(memory: GuestMemory): AppCounter[] {
  const { view } = memory;
  const table = view.getUint32(TIME_PAGE_ADDRESS + TimePage.counters, true);
  const bytes = CounterTable.counters + COUNTERS_MAX * Counter.sizeof;
  if (table === 0 || !memory.contains(table, bytes)) return [];
  const count = Math.min(view.getUint32(table + CounterTable.count, true), COUNTERS_MAX);
  const found = new Map<string, AppCounter>();
  for (let i = 0; i < count; i++) {
    const at = table + CounterTable.counters + i * Counter.sizeof;
    const name = textAt(memory, at + Counter.name);
    const one = counterOf(memory, at, name);
    if (one !== null && !found.has(name)) found.set(name, one);
  }
  return [...found.values()];
}

function counterOf(memory: GuestMemory, at: number, text: string): AppCounter | null {
  const { view } = memory;
  const [, name, label, labelled] = NAME.exec(text) ?? [];
  const help = textAt(memory, at + Counter.help);
  const isGauge = view.getUint32(at + Counter.kind, true) === CounterKind.Gauge;
  if (name === undefined || !HELP.test(help) || name.endsWith("_total") === isGauge) return null;
  return {
    name,
    label: label === undefined ? null : { name: label, value: labelled as string },
    kind: isGauge ? "gauge" : "counter",
    help,
    value: Number(view.getBigUint64(at + Counter.value, true)),
  };
}

/** The text whose address and length are at `place`. "": none, too long, or outside of memory. */
function textAt(memory: GuestMemory, place: number): string {
  const address = memory.view.getUint32(place, true);
  const length = memory.view.getUint32(place + 4, true);
  if (length > COUNTER_TEXT_BYTES_MAX || !memory.contains(address, length)) return "";
  return String.fromCharCode(...memory.bytes(address, length));
}
