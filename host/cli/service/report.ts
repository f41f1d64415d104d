// The numbers of a service, as data: metrics are made of them, and those of replicas are added up.
import type { AppCounter } from "../../counters.ts";
import { addCounts, type Totals, totalsOf } from "./totals.ts";

/** Values by bucket, and above all of them. */
export interface Buckets {
  readonly counts: readonly number[];
  readonly above: number;
  readonly sum: number;
}

/** Numbers that only grow, all since the process began. */
export interface Counts {
  readonly totals: Totals;
  readonly requests: {
    /** By status and method, as in "200 GET". */
    readonly answered: ReadonlyMap<string, number>;
    readonly durations: Buckets;
    readonly bodyBytes: number;
    /** By AccessReason. */
    readonly aborted: readonly number[];
    readonly cut: readonly number[];
  };
  /** Requests without a line in the access log. */
  readonly dropped: number;
  /** Clients that were reset while there was no machine. */
  readonly turnedAway: number;
  /** Machines that were replaced. */
  readonly restarts: number;
  /** Of entries into guests, in seconds; null: not measured. */
  readonly turns: Buckets | null;
  /** Of the event loop, in seconds. */
  readonly lag: { readonly sum: number; readonly count: number };
}

/** Numbers of this moment. */
export interface Gauges {
  /** Connections of clients, those that wait for a machine, and how many there may be. */
  readonly open: number;
  readonly waiting: number;
  readonly most: number;
  readonly threads: number;
  readonly heapBytes: number;
  readonly heapInUse: number;
  /** Of the network of the card: connections of TCP, and flows of UDP. */
  readonly flows: { readonly tcp: number; readonly udp: number };
  /** Gauges of applications, by name and label. */
  readonly application: ReadonlyMap<string, AppCounter>;
}

export interface ServiceReport {
  /** The kind of sockets that clients have. */
  readonly sockets: string;
  readonly counts: Counts;
  readonly gauges: Gauges;
  /** Delays of the event loop, in seconds, at LAG_QUANTILES; NaN: not known yet. */
  readonly lags: readonly number[];
  /** Machines that there should be, and those that serve. */
  readonly machines: { readonly wanted: number; readonly ready: number };
  readonly isRetired: boolean;
}

export const LAG_QUANTILES: readonly number[] = [0.5, 0.9, 0.99];

const NO_GAUGES: Gauges = {
  ...{ open: 0, waiting: 0, most: 0, threads: 0, heapBytes: 0, heapInUse: 0 },
  flows: { tcp: 0, udp: 0 },
  application: new Map(),
};

/** Of a service that has not begun. */
export const NO_COUNTS: Counts = {
  totals: totalsOf(null, null),
  requests: {
    answered: new Map(),
    durations: { counts: [], above: 0, sum: 0 },
    bodyBytes: 0,
    aborted: [],
    cut: [],
  },
  dropped: 0,
  turnedAway: 0,
  restarts: 0,
  turns: null,
  lag: { sum: 0, count: 0 },
};

/**
 * What `reports` of replicas come to: numbers are added, but of lags the longest counts. `past` are
 * the counters of replicas that are gone.
 */
export function combine(
  reports: readonly ServiceReport[],
  past: Counts,
  wanted: number,
): Omit<ServiceReport, "isRetired"> {
  return {
    sockets: reports[0]?.sockets ?? "unknown",
    counts: reports.map(({ counts }) => counts).reduce(addCounts, past),
    gauges: reports.map(({ gauges }) => gauges).reduce(addCounts, NO_GAUGES),
    lags: LAG_QUANTILES.map((_, i) => longest(reports.map(({ lags }) => lags[i] ?? Number.NaN))),
    machines: { wanted, ready: reports.reduce((sum, one) => sum + one.machines.ready, 0) },
  };
}

/** NaN: none is known. */
const longest = (lags: readonly number[]): number =>
  lags.reduce((most, lag) => (lag > most || Number.isNaN(most) ? lag : most), Number.NaN);
