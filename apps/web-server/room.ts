// Memory for clients to come: before one of them is refused, what is only kept goes, and then who
// can be missed.
import { heapBytes, heapInUse } from "../../kernel/api";
import { shrinkCache } from "./cache";
import { cutOne, cutStalled, isCrowded, isFull } from "./connections";
import { Event, note } from "./events";

/** Is less than a tenth of the heap left? */
function isShort(): bool {
  return heapInUse() > heapBytes() / 10 * 9;
}

/** Frees something. Returns false if there is nothing that can be missed. */
function makeRoom(): bool {
  return shrinkCache() || cutOne();
}

/** Makes room for a client that is there. One for whom there is none is told of. */
export function admitClient(): bool {
  const made = makeRoom();
  if (!made) note(Event.NoThread);
  return made;
}

/** For each client that comes: above 90 % of connections or of the heap another one goes. */
export function keepRoom(): void {
  if (isFull()) cutOne();
  else if (isCrowded()) cutStalled();
  if (isShort()) makeRoom();
}
