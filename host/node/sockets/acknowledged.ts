// Bytes that peers have not acknowledged. On Linux /proc/net/tcp has them: tx_queue is what was
// written and not acknowledged (proc_pid_net(5)). Other hosts do not say.
import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";
import { endianness } from "node:os";

export interface AddressPair {
  readonly localAddress: string;
  readonly localPort: number;
  readonly remoteAddress: string;
  readonly remotePort: number;
}

const TABLES = ["/proc/self/net/tcp", "/proc/self/net/tcp6"];
/** Slot, addresses, state, tx_queue. */
const ROW = /^ *\d+: ([0-9A-F]+:[0-9A-F]+ [0-9A-F]+:[0-9A-F]+) [0-9A-F]{2} ([0-9A-F]+):/gm;

/**
 * Bytes that the peer has not acknowledged, for each connection by keyOf() or null; -1: not known.
 */
export async function unacknowledged(keys: readonly (string | null)[]): Promise<number[]> {
  const found = keys.map(() => -1);
  const indices = new Map<string, number>();
  keys.forEach((key, i) => {
    if (key !== null) indices.set(key, i);
  });
  for (const name of TABLES) {
    if (indices.size === 0) break;
    const table = await readFile(name, "latin1").catch(() => "");
    for (const [, key = "", queue = ""] of table.matchAll(ROW)) {
      const i = indices.get(key);
      if (i === undefined) continue;
      found[i] = Number.parseInt(queue, 16);
      indices.delete(key);
    }
  }
  return found;
}

/** As the kernel formats it: words of the address in host byte order, the port as a number. */
export function keyOf(pair: AddressPair): string {
  const local = `${words(pair.localAddress)}:${hex(pair.localPort, 4)}`;
  return `${local} ${words(pair.remoteAddress)}:${hex(pair.remotePort, 4)}`;
}

function words(address: string): string {
  const bytes = isIPv4(address) ? address.split(".").map(Number) : bytesOfIPv6(address);
  let text = "";
  for (let i = 0; i < bytes.length; i += 4) {
    const word = bytes.slice(i, i + 4);
    if (endianness() === "LE") word.reverse();
    for (const byte of word) text += hex(byte, 2);
  }
  return text;
}

function bytesOfIPv6(address: string): number[] {
  const [plain = ""] = address.split("%"); // without the zone
  const [front = "", back] = plain.split("::");
  const head = groups(front);
  const tail = back === undefined ? [] : groups(back);
  return [...head, ...Array(16 - head.length - tail.length).fill(0), ...tail];
}

function groups(text: string): number[] {
  if (text === "") return [];
  return text.split(":").flatMap((group) => {
    if (group.includes(".")) return group.split(".").map(Number);
    const value = Number.parseInt(group, 16);
    return [value >> 8, value & 255];
  });
}

function hex(value: number, digits: number): string {
  return value.toString(16).toUpperCase().padStart(digits, "0");
}
