// The connections of a machine, for whoever asks for a list.
import type { VsockDevice } from "../../devices/vsock.ts";
import type { Listed } from "./served.ts";

/** `most` of the connections of a device; null: there is none now. */
export function listedOf(vsock: VsockDevice | null, most: number): Listed {
  const all = vsock?.connections() ?? [];
  const connections = all.slice(0, most).map((one) => ({
    address: vsock?.peerAddress(one.hostPort, one.guestPort) ?? "",
    conn: one.hostPort,
    guestPort: one.guestPort,
    bytesIn: one.bytesToGuest,
    bytesOut: one.bytesFromGuest,
  }));
  return { total: all.length, connections };
}
