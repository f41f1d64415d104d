// Clients that have connected and were not accepted yet wait in the kernel; it resets them when the
// socket is closed that they wait at. So they are accepted before.
import { setImmediate } from "node:timers/promises";

/**
 * Resolves when nobody waits any more, for a whole round of the event loop, which accepts one
 * client, has accepted none; or after `patienceMs`, as new clients may come for ever. `accepted`
 * says how many have been accepted by now.
 */
export async function backlogAccepted(accepted: () => number, patienceMs: number): Promise<void> {
  const deadline = performance.now() + patienceMs;
  await setImmediate(); // the round that is going on may have looked at the socket before
  let before: number;
  do {
    before = accepted();
    await setImmediate();
  } while (accepted() !== before && performance.now() < deadline);
}
