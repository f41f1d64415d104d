// The bounds of serve().

/** Bounds of serve(), all of which an application may change. */
@final
export class ServeOptions {
  /** In the line that reports the port. */
  name: string = "http";
  /** Connections beyond it get 503. Each takes about 10 KiB, and what its request allocates. */
  connectionsMax: u32 = 1024;
  /** Bytes of a body; a longer one gets 413, and its handler is not called or ends. */
  bodyBytesMax: u32 = 1 << 20;
  /** A connection without a request is closed after this many milliseconds. */
  idleMs: u32 = 15_000;
  /** For all of a head; then 408. */
  headMs: u32 = 10_000;
  /** For all of a body; then 408. */
  bodyMs: u32 = 30_000;
  /** For the client to take a part of the response; then the connection is reset. */
  sendMs: u32 = 30_000;
  /** Of a connection's thread: handlers that call deep need more (BeginThread). */
  stackBytes: u32 = ASC_OPTIMIZE_LEVEL > 0 ? 8192 : 32_768;
}
