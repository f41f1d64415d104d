// Functions of hot paths that must stay leaves: requests are parsed, responses written, rings and
// bytes moved in them, and none may yield, directly or not, or Asyncify instruments it and its
// loops get slower. The build keeps them out of line and fails when one is instrumented.
import { shown } from "./names.mjs";

export const leaves = [
  "~lib/torito/guest/http/request/parseRequest",
  "~lib/torito/guest/http/path/decodePath",
  "~lib/torito/guest/http/range/parseRanges",
  "~lib/torito/guest/http/conditional/preconditions",
  "~lib/torito/guest/http/response/putStart",
  "~lib/torito/guest/http/text/putText",
  "apps/web-server/cache/lookUp",
  "apps/web-server/hidden/isHidden",
  "apps/web-server/coding/chooseCoding",
  "apps/web-server/rules/match/matches",
  "apps/web-server/rules/headers/putRuleHeaders",
  "~lib/torito/kernel/memory/ToroGetMem",
  "~lib/torito/kernel/memory/ToroFreeMem",
  "~lib/torito/kernel/net/socket/table/findSocket",
  "~lib/torito/kernel/net/socket/output/fillHeader",
  "~lib/torito/drivers/virtqueue/VirtQueue#add",
  "~lib/torito/drivers/virtqueue/VirtQueue#take",
  "~lib/torito/drivers/fs/completion/drain",
];

/**
 * Functions that call through the table a function which never yields: they run it as an atomic
 * call (kernel/scheduler.ts), in which a yield panics. Asyncify cannot see that, and would
 * instrument all of their callers.
 */
export const upcalls = [
  "~lib/torito/kernel/net/link/pool/complete",
  "~lib/torito/kernel/net/link/interface/transmit",
  "~lib/torito/kernel/net/link/interface/recycle",
  "~lib/torito/kernel/net/link/interface/notifyOwner",
  "~lib/torito/kernel/net/socket/transport/ask",
  "~lib/torito/kernel/net/socket/transport/askRoute",
  "~lib/torito/kernel/net/socket/transport/askPort",
  "~lib/torito/kernel/net/socket/transport/sendTransport",
  "~lib/torito/kernel/net/inet/icmp-errors/handOut",
  "~lib/torito/kernel/net/inet/udp/ports/giveToSocket",
  "~lib/torito/kernel/net/inet/udp/ports/hasSocket",
  "~lib/torito/kernel/net/inet/udp/udp/deliver",
  "~lib/torito/kernel/net/inet/udp/udp/refuse",
  "~lib/torito/drivers/fs/completion/notify",
  "~lib/torito/drivers/fs/completion/endAll",
];

/**
 * Functions that are called from a loop which waits, and are large: with a frame of their own, a
 * thread that waits in the loop saves and restores what the loop needs, and not what they do.
 */
export const frames = ["apps/web-server/connection/serveRequest"];

/**
 * Throws when a leaf is instrumented. Returns the leaves that are in the module.
 * @param {string} text the module after Asyncify, as WebAssembly text
 * @param {readonly string[]} wanted
 * @returns {string[]}
 */
export function checkLeaves(text, wanted) {
  const found = [];
  for (const body of text.split(/\n (?=\(func \$)/).slice(1)) {
    const name = /^\(func \$([^\s()]+)/.exec(body)?.[1] ?? "";
    if (!wanted.includes(name)) continue;
    found.push(name);
    if (body.includes("$__asyncify_state"))
      throw new Error(`${shown(name)} must be a leaf, but may yield`);
  }
  return found;
}
