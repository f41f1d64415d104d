// How much of the host a vsock device may use, and how it reads from clients.

/** Bounds of a vsock device. Each has a default. */
export interface VsockLimits {
  /** Connections, including those whose socket still drains. Further clients are closed at once. */
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

export const LIMITS: VsockLimits = {
  connections: 4096,
  bufAlloc: 256 * 1024,
  bufAllocTotal: 128 * 1024 * 1024,
};

/**
 * How bytes of clients are read. "data": in chunks, each of which is copied once. "in-place":
 * straight into the guest's buffers, from the moment a connection is established. "adaptive": in
 * chunks until the connection has carried much, and the guest's buffers have proved to be large.
 */
export type ReceiveMode = "adaptive" | "data" | "in-place";
