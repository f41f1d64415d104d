// Copies a frame and its header into the buffers that it takes (virtio 5.1.6.4).
import type { Chain, VirtQueue } from "../../virtqueue.ts";

/** Writes one part after the other into the writable segments of chains. */
class ChainWriter {
  readonly #chains: readonly Chain[];
  /** Bytes in each chain that has been begun. */
  readonly written: number[] = [0];
  #chain: Chain;
  #segment = 0;
  /** Bytes in the segment. */
  #at = 0;

  constructor(chains: readonly Chain[]) {
    this.#chains = chains;
    this.#chain = chains[0] as Chain;
    this.#segment = this.#chain.readableCount;
  }

  write(part: Uint8Array): void {
    for (let done = 0; done < part.length; ) {
      if (this.#segment === this.#chain.count) this.#next();
      const room = (this.#chain.lengths[this.#segment] as number) - this.#at;
      const bytes = Math.min(room, part.length - done);
      const address = (this.#chain.addresses[this.#segment] as number) + this.#at;
      const piece = bytes === part.length ? part : part.subarray(done, done + bytes);
      this.#chain.memory.u8.set(piece, address);
      done += bytes;
      this.#add(bytes, bytes === room);
    }
  }

  #add(bytes: number, isFull: boolean): void {
    const last = this.written.length - 1;
    this.written[last] = (this.written[last] as number) + bytes;
    this.#at = isFull ? 0 : this.#at + bytes;
    if (isFull) this.#segment++;
  }

  #next(): void {
    this.#chain = this.#chains[this.written.length] as Chain;
    this.#segment = this.#chain.readableCount;
    this.written.push(0);
  }
}

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
  const writer = new ChainWriter(chains);
  writer.write(header);
  for (const part of parts) writer.write(part);
  queue.pushTogether(chains, writer.written);
}
