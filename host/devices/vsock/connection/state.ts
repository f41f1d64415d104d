// The life of a connection as the guest sees it (virtio 5.10.6.5), and its states.
//
// Opening. Either side sends REQUEST and the other answers RESPONSE, or RST to refuse:
//
//   client ──connect──▶ device ──REQUEST──▶ guest      Requesting until RESPONSE
//   guest ──REQUEST──▶ device ──connect──▶ server      Connecting until the socket connects
//
// Payload. RW both ways, as far as the receiver has advertised room for it (credit.ts).
//
// Half close. SHUTDOWN carries two flags that accumulate: "I will not receive", "I will not send".
// A connection with one direction ended stays Established (half-close.ts).
//
// Close. Whoever has set both flags is done, and the other answers RST, which frees the ports:
//
//   guest ──SHUTDOWN(both)──▶ device     Tail: its last bytes go to the socket first, then RST
//   guest ◀──SHUTDOWN(both)── device     Closing until the guest answers RST
//
// The ports may be used again as soon as RST is out, so it must not overtake payload. Hence Tail:
// the guest is done, but its bytes wait for a slow reader. A reader that makes no progress for
// TAIL_MS loses them.
//
// Abort. RST at any time, from either side; the host's socket is reset as well. A packet that
// breaks the protocol is answered like this (Resetting), except in Tail: bytes that the guest sent
// before it closed are still delivered.
//
// The socket has a life of its own. It may close first, while the guest still has a chunk to read
// (Established until that is delivered), or last: when the guest is done (Gone), the client's
// unread bytes are drained, since closing over them would make the kernel reset the connection and
// lose what it still has to send (peer.ts).
//
// Every wait ends: timeouts.ts says how long each one lasts.

/** In the order of a connection's life. */
export const enum State {
  Requesting = 0, // a client came: REQUEST is due, or RESPONSE awaited
  Connecting = 1, // the guest sent REQUEST: the socket connects
  Established = 2, // RESPONSE came, or is due
  Tail = 3, // the guest closed both directions: its last bytes are on their way to the kernel
  Closing = 4, // SHUTDOWN of both directions was sent: RST awaited
  Resetting = 5, // RST is due, nothing else
  Gone = 6, // the guest is done with it; its socket may still drain
}

/** Any state may also be followed by Resetting and Gone. */
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
