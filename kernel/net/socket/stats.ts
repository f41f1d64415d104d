// What is counted of the network's payload: what moved, and every copy of it, for the kernel as a
// whole and for each socket. A payload is copied here and nowhere else.
import { NetStats } from "../../../abi/stats";
import { publishStats } from "../../clock";

/** A socket of nobody's: what is counted goes into the total alone. */
export const NO_STATS: usize = 0;

const total: usize = memory.data(64);

export function statsInit(): void {
  publishStats(total);
}

/** The kernel's own block. */
export function totalStats(): usize {
  return total;
}

/** Adds to one of NetStats, of the socket whose block it is (or NO_STATS) and of the kernel. */
export function tally(block: usize, field: u32, bytes: u32): void {
  store<u64>(total + field, load<u64>(total + field) + bytes);
  if (block != NO_STATS) store<u64>(block + field, load<u64>(block + field) + bytes);
}

/** Copies payload; `path` is one of the fields of NetStats for copies. */
export function copyPayload(block: usize, path: u32, to: usize, from: usize, bytes: u32): void {
  memory.copy(to, from, bytes);
  tally(block, path, bytes);
}

export function copyStats(to: usize, from: usize): void {
  memory.copy(to, from, NetStats.sizeof);
}
