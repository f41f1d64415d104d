// What a connection may ask of its device, and the limits and times of both.
import type { Budget } from "./budget.ts";
import type { Connection } from "./connection/connection.ts";
import type { Ledger } from "./connection/ledger.ts";
import type { RingShare } from "./connection/outbound.ts";
import type { Flushing } from "./rings/flushing.ts";
import type { ToGuest } from "./rings/to-guest.ts";
import type { Deadlines } from "./routes/table.ts";
import type { Stalls } from "./stalls.ts";
import type { Refusal, VsockStats } from "./stats.ts";

export interface VsockLimits {
  /** Connections, with those whose socket still drains. More clients are closed at once. */
  readonly connections: number;
  /**
   * Bytes of one connection that the device accepts and the kernel has not taken (buf_alloc), at
   * most: one begins with up to 64 KiB, and falls to 16 KiB while its client takes nothing.
   */
  readonly bufAlloc: number;
  /** Sum of it over all connections: the more there are, the smaller the windows of new ones. */
  readonly bufAllocTotal: number;
}

export const LIMITS: VsockLimits = {
  connections: 4096,
  bufAlloc: 256 * 1024,
  bufAllocTotal: 128 * 1024 * 1024,
};

/**
 * How bytes of clients are read. "data": in chunks, each of which is copied once. "in-place":
 * straight into the guest's buffers, as soon as the connection stands. "adaptive": in chunks until
 * the connection has proved to carry much, and the guest's buffers to be large.
 */
export type ReceiveMode = "adaptive" | "data" | "in-place";

/** REQUEST without an answer, or a connect of the host under way. */
export const CONNECT_MS = 2000;
/** SHUTDOWN of both ways without RST (V16). */
export const CLOSE_MS = 2000;
/**
 * The client has ended, and the guest neither says anything nor closes. A client that is gone for
 * good, as far as the host can tell, has no more time.
 */
export const HALF_CLOSE_MS = 120_000;
/**
 * One side has closed and its last bytes wait for a slow reader on the other: time without
 * progress.
 */
export const TAIL_MS = 30_000;
/** Everything is with the kernel; the client's unread bytes are drained, or they would reset it. */
export const LINGER_MS = 2000;

/** What the guest made of a REQUEST. */
export type Opened = (accepted: boolean) => void;

export interface Hub {
  readonly stats: VsockStats;
  /** Of the whole device. */
  readonly ledger: Ledger;
  readonly share: RingShare;
  readonly receiveMode: ReceiveMode;
  readonly toGuest: ToGuest;
  readonly budget: Budget;
  readonly flushing: Flushing;
  readonly stalls: Stalls;
  readonly deadlines: Deadlines;
  /** The connection may have something to say. */
  ready(connection: Connection): void;
  /** The guest is done with its ports. */
  freePorts(connection: Connection): void;
  /** A client is turned away: counted, and told of if there is an error. */
  lost(reason: Refusal, error?: Error): void;
  /** Nothing is left of it, on either side. */
  gone(connection: Connection): void;
  /** Fills rx buffers with what is ready. */
  pump(): void;
  /**
   * Last act of an event of the host: pumps, interrupts, gives the guest its turn, which has been
   * when this returns if it is wanted `atOnce`.
   */
  settle(atOnce?: boolean): void;
}
