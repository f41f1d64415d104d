// Counters of a vsock device.
import type { Ledger } from "./connection/ledger.ts";

/** Payload bytes in both directions, and copies of them; a byte may be copied twice. */
export interface Traffic {
  readonly bytesFromGuest: number;
  readonly bytesToGuest: number;
  /** Of bytesToGuest: read straight into the guest's buffers. */
  readonly bytesInPlace: number;
  readonly copiedFromGuest: number;
  readonly copiedToGuest: number;
  /**
   * Copied bytes by path: for slow readers; chunks; staging buffer; for lack of room (CopyPath).
   */
  readonly copied: readonly [number, number, number, number];
}

/** A live connection. */
export interface ConnectionStats extends Traffic {
  /** 2: the host. Otherwise another guest of the switch, and `hostPort` is its port. */
  readonly peerCid: number;
  readonly hostPort: number;
  readonly guestPort: number;
  /** Does the host read into the guest's buffers? */
  readonly inPlace: boolean;
}

/**
 * Why a client was turned away: the guest refused it; the device had no room; no descriptor was
 * left; it did not name a port (hybrid vsock).
 */
export type Refusal = "guest" | "room" | "descriptors" | "handshake";

export interface VsockStats extends Traffic {
  /** Live connections, including those whose socket still drains. */
  connections: number;
  /** Connections begun by clients and other guests, even if the guest refuses them. */
  accepted: number;
  /** Clients turned away, by the guest or before it was asked. */
  refused: number;
  /** The same, by reason. */
  readonly refusals: Record<Refusal, number>;
  /** Begun by the guest. */
  connected: number;
  packetsFromGuest: number;
  packetsToGuest: number;
  /** Packets and buffers of the guest that broke a rule. */
  rejected: number;
  resetsSent: number;
  /** Clients that sent something after drain() had ended them; nothing answers it. */
  late: number;
}

/** Log messages for clients that are turned away. */
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
    late: 0,
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
