// Counters that outlive machines: those of ended ones are added to those of the present ones.
import { FsDevice } from "../../devices/fs.ts";
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Machine } from "../../machine.ts";

/** Counters of machines, all since the process began. */
export interface Totals {
  readonly accepted: number;
  readonly refused: Readonly<Record<string, number>>;
  readonly late: number;
  readonly copied: Readonly<Record<string, number>>;
  readonly carried: Readonly<Record<string, number>>;
  /** By device and queue, as in "vsock/rx", and by device. */
  readonly kicks: Readonly<Record<string, number>>;
  readonly interrupts: Readonly<Record<string, number>>;
  /** Threads of guests that threw. */
  readonly faults: number;
  readonly fsRequests: number;
  readonly fsBytes: Readonly<Record<string, number>>;
}

/** Counters of a machine that may end. */
export function totalsOf(vsock: VsockDevice | null, machine: Machine | null): Totals {
  const stats = vsock?.stats;
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
    accepted: stats?.accepted ?? 0,
    refused: { ...(stats?.refusals ?? {}) },
    late: stats?.late ?? 0,
    carried: { to_guest: stats?.bytesToGuest ?? 0, from_guest: stats?.bytesFromGuest ?? 0 },
    copied: { stage_out: stageOut, chunk_in: chunkIn, stage_in: stageIn, spill_in: spillIn },
    kicks: Object.fromEntries(kicks),
    interrupts: Object.fromEntries(interrupts),
    faults: machine?.faults ?? 0,
    fsRequests: sum((disk) => disk.stats.requests),
    fsBytes: {
      read: sum((disk) => disk.stats.bytesRead),
      write: sum((disk) => disk.stats.bytesWritten),
    },
  };
}

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
    return new Map(
      [...new Set([...a.keys(), ...other.keys()])].map((key) => [
        key,
        sum(a.get(key), other.get(key)),
      ]),
    );
  }
  const [x, y] = [a, b] as Record<string, unknown>[];
  const keys = new Set([...Object.keys(x ?? {}), ...Object.keys(y ?? {})]);
  return Object.fromEntries([...keys].map((key) => [key, sum(x?.[key], y?.[key])]));
}
