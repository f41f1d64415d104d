// Copies a frame and its header into the buffers that it takes (virtio 5.1.6.4).
import type { Chain, VirtQueue } from "../../virtqueue.ts";

/**
 * Fills all chains but the last to the end, and returns them together (NW20). They hold all parts.
 */
export function fillChains(
  queue: VirtQueue,
  chains: readonly Chain[],
  header: Uint8Array,
  parts: readonly Uint8Array[],
): void {
  if (chains.length === 1) {
    const chain = chains[0] as Chain;
    let at = chain.copyTo(0, header);
    for (const part of parts) at += chain.copyTo(at, part);
    chain.release(at);
    return;
  }
  const written: number[] = [];
  let at = 0;
  for (const part of [header, ...parts]) {
    for (let rest = part; rest.length > 0; ) {
      const chain = chains[written.length] as Chain;
      const taken = Math.min(rest.length, chain.writableBytes - at);
      at += chain.copyTo(at, rest.subarray(0, taken));
      rest = rest.subarray(taken);
      if (at < chain.writableBytes) continue;
      written.push(at);
      at = 0;
    }
  }
  if (at > 0) written.push(at);
  queue.pushTogether(chains, written);
}
