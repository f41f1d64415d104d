// The outcome of a request, at the two moments at which it is known: when the head of its answer
// has been written and its own head is not gone yet, and when the answer is over.
import { Connection } from "./connections";
import { Ending } from "./ending";

/**
 * An answer with that status is about to be sent. c.requests counts it, and it began at c.startNs.
 * Of a head that was refused only some parts are known. Does not yield.
 */
export function answered(_c: Connection, _status: u32): void {}

/** That answer is over: `bodyBytes` bytes of its body were handed over. Does not yield. */
export function finished(_c: Connection, _bodyBytes: u64, _ending: Ending): void {}
