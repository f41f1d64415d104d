// The memory of a `user` network: a packet that is read, one that is written, the stage that idle
// sockets of the host read into, and slabs for bytes of connections under way, of each direction.
// Connections of one direction cannot take the slabs of the other.
import { SLAB_BYTES, SlabPool } from "./slabs.ts";
import { SumMemory } from "./sum.ts";

/** The largest frame has 65,550 bytes: two slabs. */
const PACKET_SLABS = 2;
/** 32 MiB of each direction. Without a free one, sockets are not read, or segments are dropped. */
const SLABS_EACH_WAY = 512;

export class Workshop {
  readonly memory: SumMemory;
  /** Addresses in it. */
  readonly inAt = 0;
  readonly outAt = PACKET_SLABS * SLAB_BYTES;
  readonly stageAt = 2 * PACKET_SLABS * SLAB_BYTES;
  readonly toGuest: SlabPool;
  readonly toHost: SlabPool;

  constructor(slabsEachWay = SLABS_EACH_WAY) {
    const slabsAt = this.stageAt + SLAB_BYTES;
    this.memory = new SumMemory(slabsAt / SLAB_BYTES + 2 * slabsEachWay);
    this.toGuest = new SlabPool(slabsAt, slabsEachWay);
    this.toHost = new SlabPool(slabsAt + slabsEachWay * SLAB_BYTES, slabsEachWay);
  }
}
