// `--stats`: what the machine's network carried, and how often a byte was copied on its way.
import type { Traffic } from "../devices/vsock/stats.ts";
import type { LogFormat } from "../log.ts";
import type { GuestStats } from "../stats.ts";

interface Direction {
  readonly bytes: number;
  readonly hostCopies: number;
  /** null: the guest does not count. */
  readonly guestCopies: number | null;
}

/** The block for stderr, its newline included. Copies are bytes copied for each byte carried. */
export function statsText(host: Traffic, guest: GuestStats | null, format: LogFormat): string {
  const toGuest: Direction = {
    bytes: host.bytesToGuest,
    hostCopies: share(host.copiedToGuest, host.bytesToGuest),
    guestCopies: guest && share(guest.ringToSocket + guest.socketToUser, guest.received),
  };
  const fromGuest: Direction = {
    bytes: host.bytesFromGuest,
    hostCopies: share(host.copiedFromGuest, host.bytesFromGuest),
    guestCopies: guest && share(guest.userToPacket + guest.packetToRing, guest.sent),
  };
  if (format === "json") {
    const { bytesInPlace } = host;
    const stats = { toGuest: { ...toGuest, bytesInPlace }, fromGuest };
    return `${JSON.stringify({ comp: "torito", msg: "stats", stats })}\n`;
  }
  const head = ["", "bytes", "host copies/byte", "guest copies/byte"];
  return [head, row("to guest", toGuest), row("from guest", fromGuest)].map(line).join("");
}

function share(copied: number, carried: number): number {
  return carried === 0 ? 0 : copied / carried;
}

function row(name: string, { bytes, hostCopies, guestCopies }: Direction): string[] {
  return [name, `${bytes}`, hostCopies.toFixed(3), guestCopies?.toFixed(3) ?? "-"];
}

function line(cells: readonly string[]): string {
  const [name = "", ...numbers] = cells;
  return `${name.padEnd(10)}${numbers.map((cell) => cell.padStart(19)).join("")}\n`;
}
