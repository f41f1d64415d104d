// Socket types: which ones were negotiated with the driver, and which one a port has.
import {
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_TYPE_SEQPACKET,
  VIRTIO_VSOCK_TYPE_STREAM,
} from "../../../../abi/vsock.ts";

/** Features that the device offers. */
export const FEATURES = [
  VIRTIO_VSOCK_F_STREAM,
  VIRTIO_VSOCK_F_SEQPACKET,
  VIRTIO_VSOCK_F_NO_IMPLIED_STREAM,
].reduce((bits, feature) => bits | (1n << BigInt(feature)), 0n);

const has = (features: bigint, bit: number) => ((features >> BigInt(bit)) & 1n) === 1n;

export class SocketTypes {
  readonly #seqpacketPorts: ReadonlySet<number>;
  #stream = true;
  #seqpacket = true;

  constructor(seqpacketPorts: Iterable<number> = []) {
    this.#seqpacketPorts = new Set(seqpacketPorts);
  }

  /** The driver is ready. Without features it has streams (V2), with SEQPACKET alone, too (V3). */
  negotiated(features: bigint): void {
    this.#seqpacket = has(features, VIRTIO_VSOCK_F_SEQPACKET);
    this.#stream =
      has(features, VIRTIO_VSOCK_F_STREAM) || !has(features, VIRTIO_VSOCK_F_NO_IMPLIED_STREAM);
  }

  /** Does the guest know this type? Until its driver is ready, assume that it does. */
  has(type: number): boolean {
    if (type === VIRTIO_VSOCK_TYPE_STREAM) return this.#stream;
    return type === VIRTIO_VSOCK_TYPE_SEQPACKET && this.#seqpacket;
  }

  /** The type of connections between the host and `port`, the guest's or the host's. */
  ofPort(port: number): number {
    return this.#seqpacketPorts.has(port) ? VIRTIO_VSOCK_TYPE_SEQPACKET : VIRTIO_VSOCK_TYPE_STREAM;
  }
}
