// The machine's generation: random bytes that no two machines share. A machine that is restored
// from a snapshot gets new ones, and its clones get others. Random numbers, session tokens and
// boundary strings that were drawn under another generation may be known to clones: whoever keeps
// such a thing compares the generation before it uses it.
import { GENERATION_BYTES, TimePage } from "../abi/boot";
import { Errno } from "../abi/errno";

let timePage: usize = 0;
let seen: u64 = 0; // the first half, as of the last entry

export function generationInit(page: usize): void {
  timePage = page;
  seen = load<u64>(page, TimePage.generation);
}

/** Half of the generation, if the machine has been restored since the last call; otherwise 0. */
export function newGeneration(): u64 {
  const now = load<u64>(timePage, TimePage.generation);
  if (now == seen) return 0;
  seen = now;
  return now;
}

/**
 * Copies the machine's generation, 16 bytes, to `into`. Returns 0, or -EINVAL for null. Does not
 * yield.
 */
export function SysGeneration(into: usize): i32 {
  if (into == 0) return -Errno.EINVAL;
  memory.copy(into, timePage + TimePage.generation, GENERATION_BYTES);
  return 0;
}
