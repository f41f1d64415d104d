// Counters that outlive machines: those of ended ones are added to those of the present one.
import { FsDevice } from "../../devices/fs.ts";
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Machine } from "../../machine.ts";

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
  /** By operation and error, as in "LOOKUP ENOENT". */
  readonly fsAnswers: Readonly<Record<string, number>>;
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
    fsAnswers: disks.reduce((all, disk) => addCounts(all, answersOf(disk)), {}),
    fsBytes: {
      read: sum((disk) => disk.stats.bytesRead),
      write: sum((disk) => disk.stats.bytesWritten),
    },
  };
}

function answersOf({ stats }: FsDevice): Record<string, number> {
  return Object.fromEntries(stats.answers.all.map(([op, error, n]) => [`${op} ${error}`, n]));
}

function addCounts(
  x: Readonly<Record<string, number>>,
  y: Readonly<Record<string, number>>,
): Record<string, number> {
  const keys = [...new Set([...Object.keys(x), ...Object.keys(y)])];
  return Object.fromEntries(keys.map((key) => [key, (x[key] ?? 0) + (y[key] ?? 0)]));
}

/** The sum of two, field by field. */
export function addTotals(a: Totals, b: Totals): Totals {
  const add = addCounts;
  return {
    accepted: a.accepted + b.accepted,
    refused: add(a.refused, b.refused),
    late: a.late + b.late,
    carried: add(a.carried, b.carried),
    copied: add(a.copied, b.copied),
    kicks: add(a.kicks, b.kicks),
    interrupts: add(a.interrupts, b.interrupts),
    fsAnswers: add(a.fsAnswers, b.fsAnswers),
    fsBytes: add(a.fsBytes, b.fsBytes),
  };
}
