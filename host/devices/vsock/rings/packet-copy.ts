// Copies of packets for captures. A packet lies in one buffer or two: no list of views is made.
import type { Chain } from "../../../virtqueue.ts";

/** Copies the first `bytes` of a packet from the guest to `at` of `target`. */
export function copySent(chain: Chain, bytes: number, target: Uint8Array, at: number): void {
  copySegments(chain, 0, bytes, target, at);
}

/** The same of a packet to the guest, which is written already. */
export function copyDelivered(chain: Chain, bytes: number, target: Uint8Array, at: number): void {
  copySegments(chain, chain.readableCount, bytes, target, at);
}

function copySegments(
  { memory, addresses, lengths }: Chain,
  first: number,
  bytes: number,
  target: Uint8Array,
  at: number,
): void {
  const { u8 } = memory;
  for (let i = first, left = bytes; left > 0; i++) {
    const start = addresses[i] as number;
    const part = Math.min(lengths[i] as number, left);
    target.set(u8.subarray(start, start + part), at + bytes - left);
    left -= part;
  }
}
