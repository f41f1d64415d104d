// How long a connection waits for the guest or for the host, and how often (NB22, NB23, NB26).

/** A host that does not answer. */
export const CONNECT_MS = 10_000;
/** Before the second SYN to the guest, before the third, and after it. */
export const INVITE_MS: readonly number[] = [500, 500, 1000];
/** A guest that acknowledges nothing: after 200 ms, 400, ... */
const RETRY_MS = 200;
export const RETRIES = 5;
/** A closed window is asked after less and less often, for ever while the guest answers. */
const PROBE_MS_MAX = 60_000;
export const PROBES_UNANSWERED = 8;

/**
 * The guest is done, and the host's kernel has all of its bytes: what the client still sends is
 * read and dropped, or it would reset the connection before the client has read the last of them.
 */
const LINGER_MS = 2000;
/** The guest is done, and its last bytes wait for a slow reader: time without progress. */
const TAIL_MS = 30_000;

export const retryMs = (tries: number): number => RETRY_MS * 2 ** tries;
/** RFC 9293, 3.8.6.1 */
export const probeMs = (probes: number): number => Math.min(PROBE_MS_MAX, retryMs(probes));
/** With `pending` bytes that the host's kernel has not taken. */
export const lingerMs = (pending: number): number => (pending > 0 ? TAIL_MS : LINGER_MS);
