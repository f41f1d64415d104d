// What the device counts, for tests, benchmarks and metrics.
import type { Ledger } from "./connection/ledger.ts";

/** Payload bytes both ways, and those of them that the device copied; a byte may count twice. */
export interface Traffic {
  readonly bytesFromGuest: number;
  readonly bytesToGuest: number;
  /** Of bytesToGuest: read straight into the guest's buffers. */
  readonly bytesInPlace: number;
  readonly copiedFromGuest: number;
  readonly copiedToGuest: number;
  /** Copies by path: for slow readers; of chunks; of the staging buffer; for want of room. */
  readonly copied: readonly [number, number, number, number];
}

/** One connection that there is. */
export interface ConnectionStats extends Traffic {
  /** 2: the host. Another one: a guest of the same switch, and `hostPort` is its port. */
  readonly peerCid: number;
  readonly hostPort: number;
  readonly guestPort: number;
  /** Does the host read into the guest's buffers? */
  readonly inPlace: boolean;
}

/**
 * Why a client had to go: the guest did not want it; the device had no room for it; no descriptor
 * was left; it did not say which port it wanted (hybrid vsock).
 */
export type Refusal = "guest" | "room" | "descriptors" | "handshake";

export interface VsockStats extends Traffic {
  /** Connections now, with those whose socket still drains. */
  connections: number;
  /** Begun by clients and other guests: the guest was asked, or will be. */
  accepted: number;
  /** Of them, turned away by the guest; and clients that it was not asked about. */
  refused: number;
  /** The same, by reason. */
  readonly refusals: Record<Refusal, number>;
  /** Begun by the guest. */
  connected: number;
  packetsFromGuest: number;
  packetsToGuest: number;
  /** Packets and buffers of the guest against the rules. */
  rejected: number;
  resetsSent: number;
}

/** What is told of clients that are turned away. */
export const REFUSED = new Error("the guest refused it");
export const FULL = new Error("no room for another connection");

export function countRefusal(stats: VsockStats, reason: Refusal): void {
  stats.refused++;
  stats.refusals[reason]++;
}

/** A snapshot. */
export function traffic(ledger: Ledger): Traffic {
  const { bytesFromGuest, bytesToGuest, bytesInPlace, copiedFromGuest, copiedToGuest } = ledger;
  const [stageOut, chunkIn, stageIn, spillIn] = ledger.copied;
  const copied = [stageOut, chunkIn, stageIn, spillIn] as const;
  return { bytesFromGuest, bytesToGuest, bytesInPlace, copiedFromGuest, copiedToGuest, copied };
}

/** Counters of a device, its traffic live. */
export function countFrom(ledger: Ledger): VsockStats {
  return {
    connections: 0,
    accepted: 0,
    refused: 0,
    refusals: { guest: 0, room: 0, descriptors: 0, handshake: 0 },
    connected: 0,
    packetsFromGuest: 0,
    packetsToGuest: 0,
    rejected: 0,
    resetsSent: 0,
    get bytesFromGuest() {
      return ledger.bytesFromGuest;
    },
    get bytesToGuest() {
      return ledger.bytesToGuest;
    },
    get bytesInPlace() {
      return ledger.bytesInPlace;
    },
    get copiedFromGuest() {
      return ledger.copiedFromGuest;
    },
    get copiedToGuest() {
      return ledger.copiedToGuest;
    },
    get copied() {
      return ledger.copied;
    },
  };
}
