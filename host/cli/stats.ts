// `--stats`: network traffic of the machine, and how often each byte was copied.
import type { Refusal, Traffic } from "../devices/vsock/stats.ts";
import { type Copies, copiesOf } from "../inspect/copies.ts";
import type { LogFormat } from "../log.ts";
import type { GuestStats } from "../stats.ts";

const REASONS: Readonly<Record<Refusal, string>> = {
  guest: "by the guest",
  room: "for want of room",
  descriptors: "for want of file descriptors",
  handshake: "without a request",
};

interface Carried extends Traffic {
  readonly refusals: Readonly<Record<Refusal, number>>;
}

/**
 * The block for stderr, including its newline. Copies are bytes copied for each byte carried.
 * Clients turned away are listed if there were any.
 */
export function statsText(host: Carried, guest: GuestStats | null, format: LogFormat): string {
  const { toGuest, fromGuest } = copiesOf(host, guest);
  const refused = Object.entries(host.refusals).filter(([, clients]) => clients > 0);
  if (format === "json") {
    const { bytesInPlace } = host;
    const refusals = refused.length > 0 ? { refused: Object.fromEntries(refused) } : {};
    const stats = { toGuest: { ...toGuest, bytesInPlace }, fromGuest, ...refusals };
    return `${JSON.stringify({ comp: "torito", msg: "stats", stats })}\n`;
  }
  const head = ["", "bytes", "host copies/byte", "guest copies/byte"];
  const block = [head, row("to guest", toGuest), row("from guest", fromGuest)].map(line).join("");
  if (refused.length === 0) return block;
  const reasons = refused.map(([reason, clients]) => `${clients} ${REASONS[reason as Refusal]}`);
  return `${block}refused   ${reasons.join(", ")}\n`;
}

function row(name: string, { bytes, hostCopies, guestCopies }: Copies): string[] {
  return [name, `${bytes}`, hostCopies.toFixed(3), guestCopies?.toFixed(3) ?? "-"];
}

function line(cells: readonly string[]): string {
  const [name = "", ...numbers] = cells;
  return `${name.padEnd(10)}${numbers.map((cell) => cell.padStart(19)).join("")}\n`;
}
