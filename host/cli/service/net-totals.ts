// Counters of a card, and of the network of this process that it is on.
import type { NetStats } from "../../devices/net/stats.ts";
import type { UserNetworkStats } from "../../devices/net/user/stats.ts";

type Numbers = Readonly<Record<string, number>>;

/** Frames and bytes by direction, and what was dropped by reason. */
export interface CardTotals {
  readonly frames: Numbers;
  readonly bytes: Numbers;
  readonly dropped: Numbers;
}

/** Of the network's TCP and UDP. Flows are those that there are now. */
export interface NetworkTotals {
  readonly connections: Numbers;
  readonly segments: Numbers;
  readonly datagrams: Numbers;
  readonly refused: Numbers;
  readonly ended: Numbers;
  readonly dropped: Numbers;
}

/** As labels are written: `noFit` is `no_fit`. */
function labelled(counts: Numbers): Numbers {
  const name = (key: string) => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(Object.entries(counts).map(([key, count]) => [name(key), count]));
}

export function cardTotals(stats: NetStats): CardTotals {
  return {
    frames: { to_guest: stats.framesToGuest, from_guest: stats.framesFromGuest },
    bytes: { to_guest: stats.bytesToGuest, from_guest: stats.bytesFromGuest },
    dropped: labelled({ ...stats.dropped, rejected: stats.rejected }),
  };
}

export function networkTotals(stats: UserNetworkStats): NetworkTotals {
  return {
    connections: { inbound: stats.inbound, outbound: stats.outbound },
    segments: { sent: stats.segmentsSent, retransmitted: stats.retransmitted },
    datagrams: { to_guest: stats.datagramsReceived, from_guest: stats.datagramsSent },
    refused: labelled(stats.refused),
    ended: labelled(stats.ended),
    dropped: labelled({ ...stats.dropped, tooLong: stats.tooLong }),
  };
}

/** Clients of published ports that were turned away, by the reasons of all clients. */
export function refusedBy(stats: UserNetworkStats | null): Numbers {
  return stats === null ? {} : { guest: stats.refused.guest, room: stats.refused.flows };
}
