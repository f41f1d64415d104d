// What a connection holds: its work while it works, and while it waits what it has of requests.
import { Connection } from "./connections";
import { dropParked, park, Parked, unpark } from "./park";
import { giveWork, NO_WORK, takeWork } from "./work";

/** Has a part of a request come? */
export function hasInput(c: Connection): bool {
  return c.parked != null || (c.work != NO_WORK && c.work.used != 0);
}

/** Takes the buffers for a request, with what has come of it in the input. False: no memory. */
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
 * Gives the buffers back, for as long as the connection waits. Where there is no room for what had
 * come of requests to follow, the connection will have to end: false.
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

/** Gives back whatever it is. */
export function dropInput(c: Connection): void {
  if (c.work != NO_WORK) giveWork(c.work);
  c.work = NO_WORK;
  const parked = c.parked;
  if (parked) dropParked(parked);
  c.parked = null;
}
