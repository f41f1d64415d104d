// The end of an entry into the guest: its threads have run, and the host comes next. What could
// have gone along with what they sent, and has not, is sent then.

let handler: u32 = 0; // table index of a function (): void; it never yields. 0: nobody

/** `value` is what endTurn() calls from now on. */
export function onTurnEnd(value: u32): void {
  handler = value;
}

/** No thread is ready, or the budget is spent. */
export function endTurn(): void {
  if (handler != 0) call_indirect<void>(handler);
}
