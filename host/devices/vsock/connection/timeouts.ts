// How long a connection waits, by what it waits for.

/** REQUEST without an answer, or a connect of the host under way. */
export const CONNECT_MS = 2000;
/** SHUTDOWN of both directions without RST (V16). */
export const CLOSE_MS = 2000;
/**
 * The client has ended, and the guest neither sends nor closes. A client that is known to be gone
 * for good gets no more time after that.
 */
export const HALF_CLOSE_MS = 120_000;
/**
 * One side has closed while its last bytes wait for a slow reader on the other: time without
 * progress.
 */
export const TAIL_MS = 30_000;
/** A drained client has been sent the end, and may have written at the same moment. */
export const DRAIN_MS = 1000;
/** The kernel has everything; unread bytes of the client are drained, or they would reset it. */
export const LINGER_MS = 2000;
