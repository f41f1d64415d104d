// Events that an operator should see, on the console: each kind at most once a second, with the
// number of events that were left out.
import { nowNs, NS_PER_S, print, printNumber } from "torito/kernel/api";

export const enum Event {
  NoMemory, // a request is answered 503
  NoDescriptor, // ... because the host has no file descriptor left
  CutStalled, // memory was short, and this client had taken nothing for the longest time
  CutHead, // ... and this one had not finished its request
  CutIdle, // ... and this one was idle
  CutEnding, // ... and this one still sent after its last answer
  CutSlow, // a client took its response below the least rate
  NoThread, // a client was refused
  StaleSibling, // a precompressed file is older than the file itself
  BadSibling, // ... or is empty, or no file
  LongHead, // the headers of the rules for a path do not fit into a head
  Kinds,
}

@unmanaged
class Tally {
  printedNs: u64;
  printed: bool; // at least once
  omitted: u32; // since then
}

const TALLY_BYTES = <i32>offsetof<Tally>();
const tallies: usize = memory.data(Event.Kinds * TALLY_BYTES);

function textOf(event: Event): string {
  switch (event) {
    case Event.NoMemory: return "no memory for a request: 503";
    case Event.NoDescriptor: return "no file descriptor for a request: 503";
    case Event.CutStalled: return "memory is short: cut a client that takes nothing";
    case Event.CutHead: return "memory is short: cut a client that does not finish its request";
    case Event.CutIdle: return "memory is short: cut an idle connection";
    case Event.CutEnding: return "memory is short: cut a client after its last answer";
    case Event.CutSlow: return "cut a client that took less than 240 bytes/s";
    case Event.StaleSibling: return "ignored a precompressed file that is older than its original";
    case Event.BadSibling: return "ignored a precompressed file that is empty, or no file";
    case Event.LongHead: return "the headers of _headers for a path are too long: 500";
    default: return "no memory for a connection: closed it";
  }
}

export function note(event: Event): void {
  const tally = changetype<Tally>(tallies + <usize>(event * TALLY_BYTES));
  const now = nowNs();
  if (tally.printed && now - tally.printedNs < NS_PER_S) {
    tally.omitted++;
    return;
  }
  print("WebServer: ");
  print(textOf(event));
  if (tally.omitted != 0) {
    print(" (and ");
    printNumber(tally.omitted);
    print(" before)");
  }
  print("\n");
  tally.printed = true;
  tally.printedNs = now;
  tally.omitted = 0;
}
