// Events of a trace, in the Trace Event Format of chrome://tracing and Perfetto.

/** Named values of a trace event. */
export type TraceArguments = Readonly<Record<string, string | number>>;

/** An event of the Trace Event Format. */
export interface TraceEvent {
  readonly name: string;
  /** Kind, for filters. */
  readonly cat?: string | undefined;
  /**
   * X: a slice of `dur`; i: an instant; b, e: beginning and end of what may overlap with others of
   * its kind; C: values of counters from now on; M: the name of a process or a track.
   */
  readonly ph: "X" | "i" | "b" | "e" | "C" | "M";
  /** Microseconds of the machine's clock, with three decimals. */
  readonly ts: number;
  readonly dur?: number | undefined;
  /** A group of tracks: the machine, or the guest's threads. */
  readonly pid: number;
  /** A track. A thread's is its id. */
  readonly tid: number;
  /** Scope of an instant: its track. */
  readonly s?: "t" | undefined;
  /** Of b and e: which belong together. */
  readonly id?: string | undefined;
  /** The flow that a slice is a step of, in hexadecimal digits; it may begin one, or go on. */
  readonly bind_id?: string | undefined;
  readonly flow_in?: boolean | undefined;
  readonly flow_out?: boolean | undefined;
  readonly args?: TraceArguments | undefined;
}

let kinds = 0;

/** All that events of a kind have in common. They differ in times, a track, a flow and numbers. */
export class EventKind {
  /** No other kind has it. */
  readonly serial = ++kinds;
  readonly ph: TraceEvent["ph"];
  readonly pid: number;
  readonly name: string;
  readonly cat: string | undefined;
  /** Names of arguments that are numbers: three at most. */
  readonly keys: readonly string[];
  /** Arguments that are always the same, before those. */
  readonly constants: TraceArguments;

  constructor(
    ph: TraceEvent["ph"],
    pid: number,
    name: string,
    keys: readonly string[] = [],
    { cat, constants = {} }: { readonly cat?: string; readonly constants?: TraceArguments } = {},
  ) {
    this.ph = ph;
    this.pid = pid;
    this.name = name;
    this.cat = cat;
    this.keys = keys;
    this.constants = constants;
  }
}

/** Writes events without an object for each. It must not throw, nor call the machine. */
export interface EventWriter {
  /**
   * Of an instant `durNs` is 0. `a`, `b` and `c` are the arguments. The flow is that of a slice, or
   * the id of b and e. False: it cannot write this one now; the sink has to take it.
   */
  put(
    kind: EventKind,
    tid: number,
    sinceNs: number,
    durNs: number,
    flow: Flow,
    a: number,
    b: number,
    c: number,
  ): boolean;
}

/**
 * The exchange of a connection that an event is a step of: its id, negated in the first step.
 * 0: none.
 */
export type Flow = number;

/** Ids have the exchange's number in the low 16 bits, and the connection's serial number above. */
export const FLOW_EXCHANGES = 0x10000;

/** The id in hexadecimal digits. */
export function flowId(flow: Flow): string {
  return Math.abs(flow).toString(16);
}

/**
 * Takes the events of one machine, on each track in the order of their times. It must not throw,
 * nor call the machine.
 */
export interface TraceSink {
  (event: TraceEvent): void;
  /** It keeps no event, which may then be the object of the one before. Default: it may. */
  readonly borrows?: boolean;
  /** Default of TraceOptions.names. */
  readonly names?: boolean;
  /** It is asked first. Default: the sink takes all events. */
  readonly writer?: EventWriter;
}

export interface TraceOptions {
  /**
   * Are paths of requests and names of files in the events? They are the users'. Default: no.
   * Others that trace the same machine do not get them.
   */
  readonly names?: boolean;
}

/** Groups of tracks. */
export const MACHINE = 1;
export const THREADS = 2;
/** The track of entries into the guest; those of the devices follow, in the order of the bus. */
export const VCPU = 1;
