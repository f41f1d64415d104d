// The parts of the device that a connection uses.
import type { Budget } from "./budget.ts";
import type { Ledger } from "./connection/ledger.ts";
import type { Deadlines, Expiring } from "./deadlines.ts";
import type { ReceiveMode } from "./limits.ts";
import type { Flushing } from "./rings/flushing.ts";
import type { RingShare } from "./rings/ring-share.ts";
import type { ToGuest } from "./rings/to-guest.ts";
import type { Member } from "./routes/members.ts";
import type { Routed } from "./routes/route.ts";
import type { Stalls } from "./stalls.ts";
import type { Refusal, VsockStats } from "./stats.ts";

/** A connection, as its device sees it when it ends. */
export interface Ending extends Routed, Member, Expiring {
  /** Bytes of the device's budget, which are free now. */
  readonly charged: number;
}

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
  /** The guest is done with the connection's ports. */
  freePorts(connection: Ending): void;
  /** Counts a client that is turned away, and logs the error if there is one. */
  refused(reason: Refusal, error?: Error): void;
  /** Neither side has anything left of the connection. */
  gone(connection: Ending): void;
  /**
   * Ends the handling of a host event: fills rx buffers, raises interrupts, and gives the guest its
   * turn. If `atOnce`, that turn has run before this returns.
   */
  settle(atOnce?: boolean): void;
}
