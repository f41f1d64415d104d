// Sequence numbers of TCP: 32 bits that wrap around (RFC 9293, 3.4).

/** `seq`, and `bytes` more. */
export const plus = (seq: number, bytes: number): number => (seq + bytes) >>> 0;

/** How far `later` is after `earlier`, as if it could not be before it. */
export const after = (later: number, earlier: number): number => (later - earlier) >>> 0;

/** The same with a sign: negative, if `later` is before `earlier`. */
export const difference = (later: number, earlier: number): number => (later - earlier) | 0;
