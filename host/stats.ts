// Network statistics of the guest's kernel, read from its memory. Both the place of the block and
// its content come from the guest: do not trust them.
import { TIME_PAGE_ADDRESS, TimePage } from "../abi/boot.ts";
import { NetStats } from "../abi/stats.ts";
import type { GuestMemory } from "./memory.ts";

/** Payload bytes since boot. */
export interface GuestStats {
  /** Handed to a device, and received from one. */
  readonly sent: number;
  readonly received: number;
  /**
   * Without a copy: sent from the sender's own buffers, and received by lending the device's
   * buffers.
   */
  readonly lent: number;
  readonly loaned: number;
  /** Copied on the way out and on the way in. */
  readonly userToPacket: number;
  readonly packetToRing: number;
  readonly ringToSocket: number;
  readonly socketToUser: number;
}

/** null: the guest keeps no statistics, or claims that they are outside of its memory. */
export function readGuestStats(memory: GuestMemory): GuestStats | null {
  const block = memory.view.getUint32(TIME_PAGE_ADDRESS + TimePage.stats, true);
  if (block === 0 || !memory.contains(block, NetStats.sizeof)) return null;
  return statsAt(memory, block);
}

/** Reads the NetStats at `block`, which is inside the memory. */
export function statsAt(memory: GuestMemory, block: number): GuestStats {
  const count = (offset: number) => Number(memory.view.getBigUint64(block + offset, true));
  return {
    sent: count(NetStats.sent),
    received: count(NetStats.received),
    lent: count(NetStats.lent),
    loaned: count(NetStats.loaned),
    userToPacket: count(NetStats.userToPacket),
    packetToRing: count(NetStats.packetToRing),
    ringToSocket: count(NetStats.ringToSocket),
    socketToUser: count(NetStats.socketToUser),
  };
}

/** How much of a machine its guest uses. */
export interface GuestLoad {
  readonly threads: number;
  readonly heapBytes: number;
  readonly heapInUse: number;
  /** Blocks that the allocator has handed out since boot. */
  readonly allocations: number;
  /** Switches between threads since boot; wraps. */
  readonly heartbeat: number;
}

/** As of the last time that the guest has returned. All of it is what the guest claims. */
export function readGuestLoad({ view }: GuestMemory): GuestLoad {
  const u64 = (offset: number) => Number(view.getBigUint64(TIME_PAGE_ADDRESS + offset, true));
  return {
    threads: view.getUint32(TIME_PAGE_ADDRESS + TimePage.threads, true),
    heapBytes: u64(TimePage.heapBytes),
    heapInUse: u64(TimePage.heapInUse),
    allocations: u64(TimePage.allocations),
    heartbeat: view.getUint32(TIME_PAGE_ADDRESS + TimePage.heartbeat, true),
  };
}
