// The ports of a guest, by both ways that lead to them: its vsock device, and its card on a network
// of the process.
import type { VsockDevice } from "../devices/vsock.ts";
import type { UserNetwork } from "../node/devices.ts";
import type { SocketAddress } from "../ports/sockets.ts";

/** A port of the guest. */
export interface GuestPort {
  readonly guestPort: number;
  /** Of its TCP? Missing: of vsock. */
  readonly isNet?: boolean;
}

export class GuestPorts {
  readonly #vsock: VsockDevice;
  readonly #network: UserNetwork | null;

  /** `network` null: its card, if it has one, leads out of this process. */
  constructor(vsock: VsockDevice, network: UserNetwork | null) {
    this.#vsock = vsock;
    this.#network = network;
  }

  /** Resolves when the guest listens. Rejects when the machine ends or drains. */
  probe(port: GuestPort): Promise<void> {
    return this.#way(port).probe(port.guestPort);
  }

  /** `answered` is called with the guest's answer. False: it cannot be asked now. */
  probeOnce(port: GuestPort, answered: (accepted: boolean) => void): boolean {
    return this.#way(port).probeOnce(port.guestPort, answered);
  }

  /** Clients of the address reach the port. Rejects with the address and the reason. */
  async publishAt(address: SocketAddress, port: GuestPort): Promise<void> {
    await this.#way(port).publishAt(address, port.guestPort);
  }

  /** Resolves when no clients are left; those that are silent for `quietMs` get an end. */
  async drain(quietMs: number): Promise<void> {
    await Promise.all([this.#vsock.drain({ quietMs }), this.#network?.drain(quietMs)]);
  }

  /** Resets all clients. Returns how many there were. */
  resetClients(): number {
    return this.#vsock.resetClients() + (this.#network?.resetClients() ?? 0);
  }

  #way({ isNet = false }: GuestPort): VsockDevice | UserNetwork {
    if (!isNet) return this.#vsock;
    if (this.#network === null) throw new Error("net: no card of the guest is on a user network");
    return this.#network;
  }
}

/** The address of the client of a request, by its ports; "": not known. */
export function clientOf(
  { hostPort, guestPort }: { readonly hostPort: number; readonly guestPort: number },
  vsock: VsockDevice,
  user: UserNetwork | null,
): string {
  const address = vsock.peerAddress(hostPort, guestPort);
  return address || (user?.peerAddress(hostPort, guestPort) ?? "");
}
