// The build refuses three kinds of calls, and names file, line and column: in kernel and drivers,
// which have no arena, objects of asc's runtime, and errors of asc's library, which would count as
// the application's; and asc's own heap anywhere. It looks before anything is inlined.
import { PACKAGE, shown } from "./names.mjs";

const HEAP = new Set(["~lib/rt/stub/__alloc", "~lib/rt/stub/__realloc", "~lib/rt/stub/__free"]);
const OBJECTS = new Set(["~lib/rt/stub/__new", "~lib/rt/stub/__renew"]);
const THROW = new Set([`${PACKAGE}kernel/panic/panic`]);

/** Drivers of a project too: their interrupt handlers run in no thread. */
const isKernel = (name) => KERNEL.test(name);
const KERNEL = new RegExp(`^${PACKAGE}(kernel|drivers)/|^(src/)?drivers/`);
const isLibrary = (name) => name.startsWith("~lib/") && !name.startsWith(PACKAGE);

/** @typedef {{ callee: string, place: string }} Call */

/**
 * Direct calls by function. Calls through the table are not followed: those of the kernel end in
 * the application.
 * @param {string} text of the module, with debug locations
 */
function callsOf(text) {
  /** @type {Map<string, Call[]>} */
  const calls = new Map();
  /** @type {Call[]} */
  let found = [];
  let place = "";
  for (const line of text.split("\n")) {
    if (line.startsWith(" (func $")) {
      found = [];
      calls.set(/^ \(func \$([^\s()]+)/.exec(line)?.[1] ?? "", found);
      place = "";
      continue;
    }
    const at = line.indexOf(";;@ ");
    if (at >= 0) {
      place = line.slice(at + 4);
      // A call that asc made has no place; the next one is in the same function.
      for (const one of found) one.place ||= place;
    }
    const callee = /\(call \$([^\s()]+)/.exec(line)?.[1];
    if (callee !== undefined) found.push({ callee, place });
  }
  return calls;
}

/** `roots`, and the functions of asc's library that call them, however deep. */
function reaching(calls, roots) {
  const found = new Set(roots);
  for (let grew = true; grew; ) {
    grew = false;
    for (const [name, callees] of calls) {
      if (found.has(name) || !isLibrary(name)) continue;
      if (callees.some(({ callee }) => found.has(callee))) {
        found.add(name);
        grew = true;
      }
    }
  }
  return found;
}

/**
 * Sentences, one for each call that is forbidden.
 * @param {string} text of the module, with debug locations
 * @returns {string[]}
 */
export function forbiddenCalls(text) {
  const calls = callsOf(text);
  const allocates = reaching(calls, OBJECTS);
  const throws = reaching(calls, THROW);
  const found = [];
  for (const [name, callees] of calls) {
    for (const { callee, place } of callees) {
      const what = callee.replace("~lib/", "");
      if (HEAP.has(callee) && !isLibrary(name)) {
        found.push(`${place}: ${name}: asc's heap (${what}); use ToroGetMem and ToroFreeMem`);
      } else if (isKernel(name) && allocates.has(callee)) {
        found.push(`${place}: ${name} allocates (${what}); kernel and drivers have no arena`);
      } else if (isKernel(name) && isLibrary(callee) && throws.has(callee)) {
        found.push(`${place}: ${name} calls what may throw (${what})`);
      }
    }
  }
  return found.map(shown);
}
