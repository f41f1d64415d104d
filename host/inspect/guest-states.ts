// States of the kernel's threads and sockets, as kernel/thread.ts and kernel/net/socket/socket.ts
// number them, and their names.

export const THREAD_STATES = ["ready", "running", "waiting", "suspended"] as const;

export const enum SocketState {
  Listening = 2,
}

export const SOCKET_STATES = [
  ...["created", "bound", "listening", "connecting", "connected", "disconnected", "closing"],
] as const;

/** As kernel/net/inet/tcp/tcb.ts numbers them. */
export const TCP_STATES = [
  ...["CLOSED", "SYN-SENT", "SYN-RECEIVED", "ESTABLISHED", "FIN-WAIT-1", "FIN-WAIT-2"],
  ...["CLOSE-WAIT", "CLOSING", "LAST-ACK"],
] as const;

/** A number without a name is shown as it is. */
export function stateName(names: readonly string[], state: number): string {
  return names[state] ?? `state ${state}`;
}
