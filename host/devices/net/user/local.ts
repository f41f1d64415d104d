// A guest's place in the network, as its flows see it.
import type { Card } from "../network.ts";
import type { Departure } from "./departure.ts";
import type { UserNetworkStats } from "./stats.ts";
import type { Workshop } from "./workshop.ts";

export interface Local {
  readonly card: Card;
  /** The guest's. */
  readonly address: number;
  readonly workshop: Workshop;
  readonly departure: Departure;
  readonly stats: UserNetworkStats;
  /** Milliseconds of the machine's clock. */
  readonly nowMs: number;
}
