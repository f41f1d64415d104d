// What a file system device has carried; for measurements and tests.

export interface FsStats {
  /** Those with a reply, and FORGETs. */
  requests: number;
  /** Of READ and WRITE, straight between the host's files and the guest's buffers ... */
  bytesRead: number;
  bytesWritten: number;
  /** ... but for these, which were copied on the way. */
  bytesCopied: number;
}

export function noStats(): FsStats {
  return { requests: 0, bytesRead: 0, bytesWritten: 0, bytesCopied: 0 };
}
