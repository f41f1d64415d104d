// Places of TCP/IP that tools look at (kernel/layout.ts). They lie here because every image has
// them: one without TCP/IP leaves them empty.
import { WaitQueue } from "../../thread";

/** The address of the card's interface; 0: there is no card. */
export const CARD_INTERFACE: usize = memory.data(4);
/** Threads that wait for this machine's address: a WaitQueue. */
export const ADDRESS_WAITERS: usize = memory.data(offsetof<WaitQueue>());
