// Tells whoever waits for a service that it serves: the log, the service manager, and the reader of
// `--ready-fd`.
import type { Log } from "../../log.ts";
import type { Command } from "../commands.ts";
import { urlOf } from "../parts.ts";
import { type Notify, tellReady } from "./notify.ts";
import type { Bound } from "./service.ts";

/** To be called each time that clients are let in; the descriptor hears of the first time. */
export function announcer(
  { readyFd }: Command,
  notify: Notify,
  log: Log,
): (bound: readonly Bound[]) => void {
  let hasTold = false;
  return (bound) => {
    const urls = bound.map(({ address, guestPort }) =>
      "path" in address ? `  ${address.path}` : `  ${urlOf({ ...address, guestPort })}`,
    );
    notify("READY=1", `STATUS=serving${urls.join("")}`);
    if (readyFd !== null && !hasTold) tellReady(readyFd, log);
    hasTold = true;
    log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
  };
}

/** A site that is served by root may show more than was meant. */
export function warnOfRoot({ site }: Command, log: Log): void {
  if (site !== null && process.getuid?.() === 0) {
    log("warn", "torito", "running as root: the site is read with root's rights");
  }
}
