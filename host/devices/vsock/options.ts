// Options of a vsock device.
import { VMADDR_CID_MIN } from "../../../abi/vsock.ts";
import type { SocketAddress, Sockets } from "../../ports/sockets.ts";
import type { ReceiveMode, VsockLimits } from "./limits.ts";
import type { PacketTap } from "./rings/tap.ts";
import type { VsockSwitch } from "./routes/switch.ts";

export interface VsockOptions {
  /** The guest's address; 3 by default, which is also the lowest. */
  readonly cid?: number;
  readonly sockets: Sockets;
  /** Where a REQUEST to a host port leads. Ports that are missing lead to the path, if any. */
  readonly connect?: ReadonlyMap<number, SocketAddress>;
  /**
   * Ports, of the guest or of the host, whose connections are seqpacket. On the host's socket each
   * message follows its length (framing.ts). Packets of the other type are refused.
   */
  readonly seqpacket?: Iterable<number>;
  /** Guests whose devices share a switch reach each other by CID. */
  readonly switch?: VsockSwitch;
  readonly limits?: Partial<VsockLimits>;
  /** How bytes of clients are read; "adaptive" by default. */
  readonly receive?: ReceiveMode;
  /** Sees every packet in both directions. Default: null, which costs a comparison per packet. */
  readonly capture?: PacketTap | null;
}

/** Throws on a CID that no guest may have (V10). */
export function assertCid(cid: number): void {
  if (Number.isInteger(cid) && cid >= VMADDR_CID_MIN && cid < 0xffffffff) return;
  throw new Error(`vsock: CID ${cid} is reserved or out of range`);
}
