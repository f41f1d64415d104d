// The library of a page: machines in Workers, clients of them, and their sites. The machine itself
// is in torito/browser/machine.
export type { GuestRequestInit } from "../http/client.ts";
export { FetchError, type FetchErrorCode } from "../http/fetch-error.ts";
export { browserClock } from "./clock.ts";
export { type MachineOffer, type MachineWanted, type Offered, offerMachine } from "./offer.ts";
export { PortSocket } from "./port-socket.ts";
export { type MachineWatcher, type PageOptions, WorkerMachine } from "./worker-machine.ts";
export { type Ended, endText, type WorkerMachineOptions } from "./worker-protocol.ts";
