// Counters that outlive machines: those of ended ones are added to those of the present ones.
import { type AppCounter, readCounters } from "../../counters.ts";
import { FsDevice } from "../../devices/fs.ts";
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Machine } from "../../machine.ts";
import type { Card } from "../net/card.ts";
import {
  type CardTotals,
  cardTotals,
  type NetworkTotals,
  networkTotals,
  refusedBy,
} from "./net-totals.ts";

/** Counters of machines, all since the process began. */
export interface Totals {
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly late: number;
  /** By device, direction and path, as in "vsock/to_guest/chunk_in". */
  readonly copied: Readonly<Record<string, number>>;
  readonly carried: Readonly<Record<string, number>>;
  /** By device and queue, as in "vsock/rx", and by device. */
  readonly kicks: Readonly<Record<string, number>>;
  readonly interrupts: Readonly<Record<string, number>>;
  /** Threads of guests that threw. */
  readonly faults: number;
  /** By operation and error, as in "LOOKUP ENOENT". */
  readonly fsAnswers: Readonly<Record<string, number>>;
  readonly fsBytes: Readonly<Record<string, number>>;
  /** null: there is no card. */
  readonly card: CardTotals | null;
  /** null: it has no card, or that is on no network of this process. */
  readonly network: NetworkTotals | null;
  /** Counters of applications, by name and label. */
  readonly application: ReadonlyMap<string, AppCounter>;
}

/** Counters of a machine that may end. */
export function totalsOf(
  vsock: VsockDevice | null,
  machine: Machine | null,
  card: Card | null = null,
): Totals {
  const stats = vsock?.stats;
  const user = card?.user?.stats ?? null;
  const registers = machine?.registers ?? [];
  const kicks = registers.flatMap(({ device, counts }) =>
    device.queueNames.map((queue, i) => [`${device.name}/${queue}`, counts.kicks[i] ?? 0] as const),
  );
  const interrupts = registers.map(
    ({ device, counts }) => [device.name, counts.interrupts] as const,
  );
  const disks = registers
    .map(({ device }) => device)
    .filter((device): device is FsDevice => device instanceof FsDevice);
  const sum = (of: (disk: FsDevice) => number) => disks.reduce((all, disk) => all + of(disk), 0);
  const [stageOut = 0, chunkIn = 0, stageIn = 0, spillIn = 0] = stats?.copied ?? [];
  return {
    accepted: (stats?.accepted ?? 0) + (user?.inbound ?? 0),
    refused: addCounts({ ...(stats?.refusals ?? {}) }, refusedBy(user)),
    late: stats?.late ?? 0,
    carried: {
      to_guest: (stats?.bytesToGuest ?? 0) + (user?.bytesToGuest ?? 0),
      from_guest: (stats?.bytesFromGuest ?? 0) + (user?.bytesFromGuest ?? 0),
    },
    card: card && cardTotals(card.device.stats),
    network: user && networkTotals(user),
    copied: {
      "vsock/from_guest/stage_out": stageOut,
      "vsock/to_guest/chunk_in": chunkIn,
      "vsock/to_guest/stage_in": stageIn,
      "vsock/to_guest/spill_in": spillIn,
      ...Object.fromEntries(
        disks.flatMap(({ name, stats: { copiedRead, copiedWritten } }) => [
          [`${name}/to_guest/background`, copiedRead],
          [`${name}/from_guest/background`, copiedWritten],
        ]),
      ),
    },
    kicks: Object.fromEntries(kicks),
    interrupts: Object.fromEntries(interrupts),
    faults: machine?.faults ?? 0,
    fsAnswers: disks.map(answersOf).reduce(addCounts, {}),
    fsBytes: {
      read: sum((disk) => disk.stats.bytesRead),
      write: sum((disk) => disk.stats.bytesWritten),
    },
    application: machine === null ? new Map() : shownBy(machine, "counter"),
  };
}

function answersOf({ stats }: FsDevice): Record<string, number> {
  return Object.fromEntries(stats.answers.all.map(([op, error, n]) => [`${op} ${error}`, n]));
}

const keyOf = ({ name, label }: AppCounter): string =>
  label === null ? name : `${name} ${label.name} ${label.value}`;

/** Numbers of one kind that the application shows, by name and label. */
export function shownBy({ memory }: Machine, kind: AppCounter["kind"]): Map<string, AppCounter> {
  const all = readCounters(memory).filter((one) => one.kind === kind);
  return new Map(all.map((one) => [keyOf(one), one]));
}

/** Names come from guests, and each machine could have others: no more are known of all. */
const NAMES_MAX = 4096;

/**
 * The sum of two sets of counters, number by number. What only one of them has is as it is there.
 */
export function addCounts<Counts>(a: Counts, b: Counts): Counts {
  return sum(a, b) as Counts;
}

function sum(a: unknown, b: unknown): unknown {
  if (a === undefined || a === null) return b;
  if (typeof a === "number") return a + ((b as number | undefined) ?? 0);
  if (typeof a !== "object" || b === undefined || b === null) return a;
  if (Array.isArray(a)) {
    const other = b as unknown[];
    return Array.from({ length: Math.max(a.length, other.length) }, (_, i) => sum(a[i], other[i]));
  }
  if (a instanceof Map) {
    const other = b as Map<unknown, unknown>;
    const keys = [...new Set([...a.keys(), ...other.keys()])].slice(0, NAMES_MAX);
    return new Map(keys.map((key) => [key, sum(a.get(key), other.get(key))]));
  }
  const [x, y] = [a, b] as Record<string, unknown>[];
  const keys = new Set([...Object.keys(x ?? {}), ...Object.keys(y ?? {})]);
  return Object.fromEntries([...keys].map((key) => [key, sum(x?.[key], y?.[key])]));
}
