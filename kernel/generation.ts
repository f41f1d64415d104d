// The machine's generation: random bytes that no two machines share. A machine that is restored
// from a snapshot gets new ones, and its clones get others. Random numbers, session tokens and
// boundary strings that were drawn under another generation may be known to clones: whoever keeps
// such a thing compares the generation before it uses it.
import { GENERATION_BYTES, TimePage } from "../abi/boot";
import { Errno } from "../abi/errno";

let timePage: usize = 0;

export function generationInit(page: usize): void {
  timePage = page;
}

/** Has the machine been restored from a snapshot since the last call? */
export function isRestored(): bool {
  if (load<u32>(timePage, TimePage.restored) == 0) return false;
  store<u32>(timePage, 0, TimePage.restored);
  return true;
}

/** Half of the generation, to seed a random number generator with. */
export function generationSeed(): u64 {
  return load<u64>(timePage, TimePage.generation);
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
