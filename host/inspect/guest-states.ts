// States of the kernel's threads and sockets, as kernel/thread.ts and kernel/net/socket/socket.ts
// number them, and their names.

export const THREAD_STATES = ["ready", "running", "waiting", "suspended"] as const;

export const enum SocketState {
  Listening = 2,
}

export const SOCKET_STATES = [
  ...["created", "bound", "listening", "connecting", "connected", "disconnected", "closing"],
] as const;

/** A number without a name is shown as it is. */
export function stateName(names: readonly string[], state: number): string {
  return names[state] ?? `state ${state}`;
}
