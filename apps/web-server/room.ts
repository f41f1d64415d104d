// Memory for new clients: before one is refused, cached files are dropped, and then other
// connections are cut.
import { heapBytes, heapInUse } from "torito/kernel/api";
import { shrinkCache } from "./cache";
import { cutOne, cutStalled, isCrowded, isFull } from "./connections";
import { Event, note } from "./events";
import { awaitPlaces } from "./pace";

/** Is less than a tenth of the heap left? */
function isShort(): bool {
  return heapInUse() > heapBytes() / 10 * 9;
}

/** Frees some memory. Returns false if there is nothing to drop or cut. */
function makeRoom(): bool {
  return shrinkCache() || cutOne();
}

/** Makes room for a client that has connected; reports it if there is none. */
export function admitClient(): bool {
  const made = makeRoom();
  if (!made) note(Event.NoThread);
  return made;
}

/** For each new client: above 90 % of connections or of the heap, makes room. */
export function keepRoom(): void {
  if (isFull()) {
    if (!cutOne()) awaitPlaces();
  } else if (isCrowded()) cutStalled();
  if (isShort()) makeRoom();
}
