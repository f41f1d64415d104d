// The life of a TCP connection between a guest and a socket of the host (NB22, NB23, NB26).
//
//   guest ──SYN──▶ Connecting ──the host's socket connects──▶ SynReceived ──ACK──▶ Open
//   client ──▶ Waiting ──fewer handshakes are under way──▶ SynSent ──SYN-ACK──▶ Open
//
// An open connection ends each direction by itself. When both sides have acknowledged both ends, or
// one of them resets it, or the guest is silent, it is Over for the guest: its ports may be used
// again. There is no TIME-WAIT, for no segment is delayed on this link. The socket of the host may
// still have bytes to write, and closes last.

/** In the order of a connection's life. */
export const enum FlowState {
  Waiting = 0, // a client came, while too many handshakes were under way
  Connecting = 1, // SYN came: the socket connects
  SynSent = 2, // a client's turn has come: SYN is sent, or due
  SynReceived = 3, // the socket is connected: SYN-ACK is sent, or due
  Open = 4, // the guest has completed the handshake, or answered SYN
  Over = 5, // the guest knows it no more; its socket may still be there
}

/** Any state may also be followed by Over. */
const NEXT: readonly (readonly FlowState[])[] = [
  [FlowState.SynSent], // Waiting
  [FlowState.SynReceived], // Connecting
  [FlowState.Open], // SynSent
  [FlowState.Open], // SynReceived
  [],
  [],
];

/** Throws if there is no such transition. */
export function assertMay(from: FlowState, next: FlowState): void {
  const legal = next === FlowState.Over ? from < next : NEXT[from]?.includes(next);
  if (!legal) throw new Error(`net: connection goes from state ${from} to ${next}`);
}

/** Is it one of those of which there are few at a time? */
export const isHandshake = (state: FlowState): boolean =>
  state >= FlowState.Connecting && state <= FlowState.SynReceived;
