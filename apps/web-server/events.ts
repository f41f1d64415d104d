// What an operator should know of, on the console: each kind of event at most once a second, with
// the number of those that were not said.
import { nowNs, NS_PER_S, print, printNumber } from "../../kernel/api";

export const enum Event {
  NoMemory, // a request is answered 503
  CutStalled, // memory was short, and this client took nothing for the longest time
  CutHead, // and this one had not ended its request's head
  CutIdle, // and this one had nothing to ask
  CutEnding, // and this one had its last answer, and still sent
  CutSlow, // a response below the least rate
  NoThread, // a client was not taken at all
  Kinds,
}

@unmanaged
class Tally {
  saidNs: u64;
  said: bool; // at least once
  unsaid: u32; // since then
}

const TALLY_BYTES = <i32>offsetof<Tally>();
const tallies: usize = memory.data(Event.Kinds * TALLY_BYTES);

function textOf(event: Event): string {
  switch (event) {
    case Event.NoMemory: return "no memory for a request: 503";
    case Event.CutStalled: return "memory is short: cut a client that takes nothing";
    case Event.CutHead: return "memory is short: cut a client that does not end its request";
    case Event.CutIdle: return "memory is short: cut an idle connection";
    case Event.CutEnding: return "memory is short: cut a client behind its last answer";
    case Event.CutSlow: return "cut a client that took less than 240 bytes/s";
    default: return "no memory for a connection: closed it";
  }
}

export function note(event: Event): void {
  const tally = changetype<Tally>(tallies + <usize>(event * TALLY_BYTES));
  const now = nowNs();
  if (tally.said && now - tally.saidNs < NS_PER_S) {
    tally.unsaid++;
    return;
  }
  print("WebServer: ");
  print(textOf(event));
  if (tally.unsaid != 0) {
    print(" (and ");
    printNumber(tally.unsaid);
    print(" before)");
  }
  print("\n");
  tally.said = true;
  tally.saidNs = now;
  tally.unsaid = 0;
}
