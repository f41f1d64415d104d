// What the maker of a vsock device may choose.
import { VMADDR_CID_MIN } from "../../../abi/vsock.ts";
import type { SocketAddress, Sockets } from "../../ports/sockets.ts";
import type { ReceiveMode, VsockLimits } from "./hub.ts";
import type { PacketCapture } from "./rings/capture.ts";
import type { VsockSwitch } from "./routes/switch.ts";

export interface VsockOptions {
  /** The guest's address; 3 by default, which is also the lowest. */
  readonly cid?: number;
  readonly sockets: Sockets;
  /** Where REQUEST to a host port leads. A port that is not in it leads to the path, if any. */
  readonly connect?: ReadonlyMap<number, SocketAddress>;
  /**
   * Ports, of the guest or of the host, whose connections are seqpacket ones: on the host's socket
   * each message stands behind its length (framing.ts). Packets of the other type are refused.
   */
  readonly seqpacket?: Iterable<number>;
  /** Guests whose devices belong to the same one reach each other by CID. */
  readonly switch?: VsockSwitch;
  readonly limits?: Partial<VsockLimits>;
  /** How bytes of clients are read; "adaptive" by default. */
  readonly receive?: ReceiveMode;
  /** Sees every packet, both ways. Default: null, which costs a comparison per packet. */
  readonly capture?: PacketCapture | null;
}

/** Throws on a CID that no guest may have (V10). */
export function assertCid(cid: number): void {
  if (Number.isInteger(cid) && cid >= VMADDR_CID_MIN && cid < 0xffffffff) return;
  throw new Error(`vsock: CID ${cid} is reserved or out of range`);
}
