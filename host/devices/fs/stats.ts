// Counters of a file system device.

/** Counters of a file system device since it was made. */
export interface FsStats {
  /** Including FORGETs. */
  requests: number;
  /** By READ and WRITE, straight between the host's files and the guest's buffers ... */
  bytesRead: number;
  bytesWritten: number;
  /** ... except for these, which were copied in between. */
  bytesCopied: number;
}

export function noStats(): FsStats {
  return { requests: 0, bytesRead: 0, bytesWritten: 0, bytesCopied: 0 };
}
