// Lets clients in, port by port, as the guest begins to listen.
import { setTimeout } from "node:timers";
import type { SocketAddress } from "../ports/sockets.ts";
import type { StandingPorts } from "../service/standing-ports.ts";
import type { GuestPort, GuestPorts } from "./guest-ports.ts";

/** A guest that does not listen by then never may; its clients are refused by the guest. */
const LISTEN_MS = 2000;

/**
 * Resolves when the guest listens on all published ports; until then clients wait. Those of a port
 * that it has not listened on for LISTEN_MS do not any more, and `late` is called. Rejects when the
 * machine ends or drains; a machine that is not the current one any more opens nothing.
 */
export async function openDoors(
  ports: StandingPorts,
  guest: GuestPorts,
  bound: readonly (GuestPort & { readonly address: SocketAddress })[],
  isCurrent: () => boolean,
  late: (guestPort: number) => void,
): Promise<void> {
  await Promise.all(
    bound.map(async (port) => {
      const open = () => {
        if (isCurrent()) ports.set("open", port.address);
      };
      await listening(guest, port, () => {
        if (!isCurrent()) return;
        late(port.guestPort);
        open();
      });
      open();
    }),
  );
}

/**
 * Resolves when the guest listens on all these ports, or when it has not for LISTEN_MS, and then
 * `late` is called. Rejects when the machine ends or drains.
 */
export async function untilListening(
  guest: GuestPorts,
  guestPorts: readonly GuestPort[],
  late: (guestPort: number) => void,
): Promise<void> {
  await Promise.all(
    guestPorts.map(
      (port) =>
        new Promise<void>((resolve, reject) => {
          const isLate = () => {
            late(port.guestPort);
            resolve();
          };
          listening(guest, port, isLate).then(resolve, reject);
        }),
    ),
  );
}

/** Resolves when the guest listens. `late` is called if that takes longer than LISTEN_MS. */
async function listening(guest: GuestPorts, port: GuestPort, late: () => void): Promise<void> {
  const timer = setTimeout(late, LISTEN_MS);
  try {
    await guest.probe(port);
  } finally {
    clearTimeout(timer);
  }
}
