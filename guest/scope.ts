// Scopes for programs that allocate in a loop of their own.
import { arenaMark, arenaRelease } from "../kernel/api";

/**
 * Calls body(arg), and then frees everything that was allocated meanwhile, which nobody may use
 * any more: an object made before must neither keep nor grow by any of it, as an array or a Writer
 * does. Yields if the body does.
 */
export function scope(body: (arg: usize) => void, arg: usize = 0): void {
  const mark = arenaMark();
  body(arg);
  arenaRelease(mark);
}
