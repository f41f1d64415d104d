// Memory for clients to come: before one of them is refused, what is only kept goes, and then who
// can be missed.
import { heapBytes, heapInUse } from "../../kernel/memory";
import { shrinkCache } from "./cache";
import { cutOne, isCrowded } from "./connections";

/** Above 90 % of the heap, or of connections, each new one costs an old one that is stalled. */
function isShort(): bool {
  return heapInUse() > heapBytes() / 10 * 9;
}

/** Frees something. Returns false if there is nothing that can be missed. */
export function makeRoom(): bool {
  return shrinkCache() || cutOne();
}

export function keepRoom(): void {
  if (isCrowded()) cutOne();
  else if (isShort()) makeRoom();
}
