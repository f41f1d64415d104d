// Which directions of a connection have ended, and by whom: flags of SHUTDOWN, which accumulate
// (V15).
import {
  VIRTIO_VSOCK_SHUTDOWN_BOTH,
  VIRTIO_VSOCK_SHUTDOWN_RCV,
  VIRTIO_VSOCK_SHUTDOWN_SEND,
} from "../../../../abi/vsock.ts";

export class HalfClose {
  guest = 0;
  /** Sent to the guest, or due. */
  host = 0;

  /** The guest will send no more. */
  get guestEnded(): boolean {
    return (this.guest & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
  }

  /** The guest will receive no more. */
  get guestIsDeaf(): boolean {
    return (this.guest & VIRTIO_VSOCK_SHUTDOWN_RCV) !== 0;
  }

  /** Would the client send into the void, without having ended? */
  get isUnheard(): boolean {
    return this.guestIsDeaf && (this.host & VIRTIO_VSOCK_SHUTDOWN_SEND) === 0;
  }

  get guestClosed(): boolean {
    return this.guest === VIRTIO_VSOCK_SHUTDOWN_BOTH;
  }

  get hostClosed(): boolean {
    return this.host === VIRTIO_VSOCK_SHUTDOWN_BOTH;
  }

  /** Is the direction to the guest over? */
  get toGuestEnded(): boolean {
    return this.guestIsDeaf || (this.host & VIRTIO_VSOCK_SHUTDOWN_SEND) !== 0;
  }

  byGuest(flags: number): void {
    this.guest |= flags & VIRTIO_VSOCK_SHUTDOWN_BOTH;
  }

  /** False: nothing new for the guest. */
  byHost(flags: number): boolean {
    if ((this.host | flags) === this.host) return false;
    this.host |= flags;
    return true;
  }
}
