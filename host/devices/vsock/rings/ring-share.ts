// The share of the tx ring that slow clients may hold. A chain under a send in flight is pinned:
// the guest gets it back only when the kernel has its bytes. Once the share is used up payload is
// copied, so that slow clients cannot take the ring away from the others.
export class RingShare {
  /** Descriptors. */
  pinned = 0;
  pinnedMax = 0;

  get exhausted(): boolean {
    return this.pinned > this.pinnedMax;
  }
}
