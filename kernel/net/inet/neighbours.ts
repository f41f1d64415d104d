// The table of neighbours: which MAC an address of our subnet has, or that we are asking for it.
import { NS_PER_S } from "../../clock";
import { Packet } from "../link/packet";
import { FreePacket } from "../link/pool";

/** Neighbours that are known or asked for; the one that was used longest ago leaves (TC4). */
export const NEIGHBOURS_MAX: u32 = 32;
/** How long an answer is believed, and from when on it is asked for again while in use. */
const LIFETIME_NS: u64 = 60 * NS_PER_S;
const REFRESH_NS: u64 = 45 * NS_PER_S;

@unmanaged
export class Neighbour {
  address: u32; // 0: the entry is free
  tries: u32; // requests since the last answer
  mac: u64; // if it is known
  hasAnswered: bool;
  knownNs: u64; // when it answered
  nextTryNs: u64; // when it may be asked again
  usedNs: u64;
  waiting: Packet | null; // the newest packet for it, while it is not known
}

const table: usize = memory.data(32 * offsetof<Neighbour>());
export const NO_NEIGHBOUR: Neighbour = changetype<Neighbour>(0);

export function neighbourAt(i: u32): Neighbour {
  return changetype<Neighbour>(table + i * offsetof<Neighbour>());
}

export function findNeighbour(address: u32): Neighbour {
  for (let i: u32 = 0; i < NEIGHBOURS_MAX; i++) {
    if (neighbourAt(i).address == address) return neighbourAt(i);
  }
  return NO_NEIGHBOUR;
}

/** A new entry: a free one, or that of the neighbour used longest ago, but never that of `kept`. */
export function addNeighbour(address: u32, kept: u32, nowNs: u64): Neighbour {
  let chosen = NO_NEIGHBOUR;
  for (let i: u32 = 0; i < NEIGHBOURS_MAX; i++) {
    const one = neighbourAt(i);
    if (one.address == kept && kept != 0) continue;
    if (chosen == NO_NEIGHBOUR || isSpare(one, chosen)) chosen = one;
  }
  dropNeighbour(chosen);
  chosen.address = address;
  chosen.usedNs = nowNs;
  return chosen;
}

/** Is its place the better one to take? */
function isSpare(one: Neighbour, other: Neighbour): bool {
  if (other.address == 0) return false;
  return one.address == 0 || one.usedNs < other.usedNs;
}

/** Frees the entry, and the packet that waits in it. */
export function dropNeighbour(one: Neighbour): void {
  const packet = one.waiting;
  if (packet) FreePacket(packet);
  memory.fill(changetype<usize>(one), 0, offsetof<Neighbour>());
}

export function dropNeighbours(): void {
  for (let i: u32 = 0; i < NEIGHBOURS_MAX; i++) dropNeighbour(neighbourAt(i));
}

export function isKnown(one: Neighbour, nowNs: u64): bool {
  return one.hasAnswered && nowNs - one.knownNs < LIFETIME_NS;
}

/** Is it time to ask again, so that it does not become unknown in mid-use? */
export function isStale(one: Neighbour, nowNs: u64): bool {
  return nowNs - one.knownNs >= REFRESH_NS;
}
