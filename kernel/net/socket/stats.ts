// Payload counters, for the kernel as a whole and for each socket: bytes moved, and every copy of
// them. Payload is copied here and nowhere else.
import { NetStats } from "../../../abi/stats";
import { publishStats } from "../../clock";

const total: usize = memory.data(64);

if (NetStats.sizeof != 64) ERROR("stats: the block is not 64 bytes");

export function statsInit(): void {
  publishStats(total);
}

/** Adds to one field of NetStats in a socket's block and in the kernel's. */
export function tally(block: usize, field: u32, bytes: u32): void {
  store<u64>(total + field, load<u64>(total + field) + bytes);
  store<u64>(block + field, load<u64>(block + field) + bytes);
}

/** Copies payload; `path` is the field of NetStats that counts such copies. */
export function copyPayload(block: usize, path: u32, to: usize, from: usize, bytes: u32): void {
  memory.copy(to, from, bytes);
  tally(block, path, bytes);
}

export function copyStats(to: usize, from: usize): void {
  memory.copy(to, from, NetStats.sizeof);
}
