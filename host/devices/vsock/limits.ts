// How much of the host a vsock device may use, and how it reads from clients.

/** Bounds of a vsock device. Each has a default. */
export interface VsockLimits {
  /**
   * Connections, including those whose socket still drains. Further clients are closed at once.
   * Default: 4096, and in machines of more than 64 MiB one for each 16 KiB.
   */
  readonly connections: number;
  /**
   * The largest window (buf_alloc) of a connection: bytes that the device accepts from the guest
   * before the kernel has taken them. A connection begins with up to 64 KiB, and falls to 16 KiB
   * while its client takes nothing.
   */
  readonly bufAlloc: number;
  /** Sum of all windows. The more connections there are, the smaller the windows of new ones. */
  readonly bufAllocTotal: number;
}

/** Connections that any machine may have. */
const CONNECTIONS_LEAST = 4096;
/** In larger ones a connection for each piece of RAM that a server of the guest takes for it. */
const CONNECTION_RAM_BYTES = 16 * 1024;

/** The bounds for a machine with that much RAM. */
export function limitsFor(ramBytes: number): VsockLimits {
  const connections = Math.max(CONNECTIONS_LEAST, Math.floor(ramBytes / CONNECTION_RAM_BYTES));
  return { connections, bufAlloc: 256 * 1024, bufAllocTotal: connections * 32 * 1024 };
}

/**
 * How bytes of clients are read. "data": in chunks, each of which is copied once. "in-place":
 * straight into the guest's buffers, from the moment a connection is established. "adaptive": in
 * chunks until the connection has carried much, and the guest's buffers have proved to be large.
 */
export type ReceiveMode = "adaptive" | "data" | "in-place";
