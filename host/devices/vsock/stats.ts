// What the device counts, for tests, benchmarks and metrics.
import type { RingShare } from "./outbound.ts";

export interface VsockStats {
  /** Connections now, with those whose socket still drains. */
  connections: number;
  /** Begun by clients, and those of them that the guest or a limit turned away. */
  accepted: number;
  refused: number;
  /** Begun by the guest. */
  connected: number;
  packetsFromGuest: number;
  packetsToGuest: number;
  /** Payload that sockets took, and that rx buffers took. */
  bytesFromGuest: number;
  bytesToGuest: number;
  /** Payload that the device copied, either way. */
  readonly bytesCopied: number;
  /** Packets and buffers of the guest against the rules. */
  rejected: number;
  resetsSent: number;
}

export function countFrom(share: RingShare): VsockStats {
  return {
    connections: 0,
    accepted: 0,
    refused: 0,
    connected: 0,
    packetsFromGuest: 0,
    packetsToGuest: 0,
    bytesFromGuest: 0,
    bytesToGuest: 0,
    get bytesCopied() {
      return share.copiedBytes;
    },
    rejected: 0,
    resetsSent: 0,
  };
}
