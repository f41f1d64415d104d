// The connections of a machine, for whoever asks for a list.
import type { NetDevice } from "../../devices/net.ts";
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Listed, ListedConnection } from "./served.ts";

/** `most` of the connections of the devices; null: there is none now. */
export function listedOf(vsock: VsockDevice | null, card: NetDevice | null, most: number): Listed {
  const ofVsock = vsock?.connections() ?? [];
  const ofCard = card?.netConnections() ?? [];
  const connections = [
    ...ofVsock.slice(0, most).map(
      (one): ListedConnection => ({
        device: "vsock",
        address: vsock?.peerAddress(one.hostPort, one.guestPort) ?? "",
        conn: one.hostPort,
        guestPort: one.guestPort,
        bytesIn: one.bytesToGuest,
        bytesOut: one.bytesFromGuest,
      }),
    ),
    ...ofCard.slice(0, Math.max(0, most - ofVsock.length)).map(
      (one): ListedConnection => ({
        device: "net",
        address: one.address,
        conn: one.peerPort,
        guestPort: one.guestPort,
        bytesIn: one.bytesToGuest,
        bytesOut: one.bytesFromGuest,
      }),
    ),
  ];
  return { total: ofVsock.length + ofCard.length, connections };
}
