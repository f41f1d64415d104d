// The buffers of a connection: its work while it answers, and while it waits only received bytes.
import { Connection } from "./connections";
import { dropParked, park, Parked, unpark } from "./park";
import { giveWork, NO_WORK, takeWork } from "./work";

/** Are there bytes of a request? */
export function hasInput(c: Connection): bool {
  return c.parked != null || (c.work != NO_WORK && c.work.used != 0);
}

/** Takes the buffers for a request, with its received bytes in the input. False: no memory. */
export function openWork(c: Connection): bool {
  if (c.work != NO_WORK) return true;
  const work = takeWork();
  if (work == NO_WORK) return false;
  c.work = work;
  const parked = c.parked;
  if (parked) unpark(parked, work);
  c.parked = null;
  return true;
}

/**
 * Gives the buffers back while the connection waits. Returns false if there is no memory to keep
 * received bytes: then the connection has to end.
 */
export function closeWork(c: Connection): bool {
  const work = c.work;
  if (work == NO_WORK) return true;
  const kept = work.used != 0 ? park(work) : null;
  const whole = work.used == 0 || kept != null;
  c.parked = kept;
  c.work = NO_WORK;
  giveWork(work);
  if (!whole) c.keepAlive = false;
  return whole;
}

/** Frees all of it. */
export function dropInput(c: Connection): void {
  if (c.work != NO_WORK) giveWork(c.work);
  c.work = NO_WORK;
  const parked = c.parked;
  if (parked) dropParked(parked);
  c.parked = null;
}
