// Memory for clients to come: before one of them is refused, what is only kept goes, and then who
// can be missed.
import { heapBytes, heapInUse } from "../../kernel/memory";
import { shrinkCache } from "./cache";
import { cutOne, isCrowded } from "./connections";
import { Event, note } from "./events";

/** Above 90 % of the heap, or of connections, each new one costs an old one that is stalled. */
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

export function keepRoom(): void {
  if (isCrowded()) cutOne();
  else if (isShort()) makeRoom();
}
