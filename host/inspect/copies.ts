// How often each payload byte was copied, on each side of the device boundary.
import type { Traffic } from "../devices/vsock/stats.ts";
import type { GuestStats } from "../stats.ts";

/** Payload in one direction. */
export interface Copies {
  readonly bytes: number;
  /** Bytes copied for each byte carried. */
  readonly hostCopies: number;
  /** null: the guest keeps no statistics. */
  readonly guestCopies: number | null;
}

export interface BothWays {
  readonly toGuest: Copies;
  readonly fromGuest: Copies;
}

export function copiesOf(host: Traffic, guest: GuestStats | null): BothWays {
  return {
    toGuest: {
      bytes: host.bytesToGuest,
      hostCopies: share(host.copiedToGuest, host.bytesToGuest),
      guestCopies: guest && share(guest.ringToSocket + guest.socketToUser, guest.received),
    },
    fromGuest: {
      bytes: host.bytesFromGuest,
      hostCopies: share(host.copiedFromGuest, host.bytesFromGuest),
      guestCopies: guest && share(guest.userToPacket + guest.packetToRing, guest.sent),
    },
  };
}

function share(copied: number, carried: number): number {
  return carried === 0 ? 0 : copied / carried;
}
