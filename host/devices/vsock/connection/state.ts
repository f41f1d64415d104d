// The life of a connection, as the guest sees it. States are in the order of that life.

export const enum State {
  Requesting = 0, // a client came: REQUEST is due, or RESPONSE awaited
  Connecting = 1, // the guest sent REQUEST: the socket connects
  Established = 2, // RESPONSE came, or is due
  Tail = 3, // the guest closed both ways: its last bytes are on their way to the kernel
  Closing = 4, // SHUTDOWN of both ways was sent: RST awaited
  Resetting = 5, // RST is due, nothing else
  Gone = 6, // the guest is done with it; its socket may still drain
}

/** Resetting and Gone may follow any state. */
const NEXT: readonly (readonly State[])[] = [
  [State.Established], // Requesting
  [State.Established], // Connecting
  [State.Tail, State.Closing], // Established
  [],
  [],
  [],
  [],
];

export function assertMay(from: State, next: State): void {
  const legal = next >= State.Resetting ? next >= from : NEXT[from]?.includes(next);
  if (!legal) throw new Error(`vsock: connection goes from state ${from} to ${next}`);
}
