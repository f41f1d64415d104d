// DNS (RFC 1035): a query that may not be relayed is refused, so that the guest need not wait.

const HEADER_BYTES = 12;
const FLAGS = 2;
const COUNTS = 4;
const QR = 0x8000;
/** Opcode and "recursion desired" are the query's. */
const KEPT = 0x7900;
const REFUSED = 5;

/**
 * Makes the answer to the query at `at`: its header. Returns the bytes of the answer; 0: there is
 * no query.
 */
export function refuseQuery(view: DataView, at: number, bytes: number): number {
  if (bytes < HEADER_BYTES) return 0;
  const flags = view.getUint16(at + FLAGS);
  if ((flags & QR) !== 0) return 0;
  view.setUint16(at + FLAGS, QR | (flags & KEPT) | REFUSED);
  for (let count = COUNTS; count < HEADER_BYTES; count += 2) view.setUint16(at + count, 0);
  return HEADER_BYTES;
}
