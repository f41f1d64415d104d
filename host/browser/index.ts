// The library in a browser: the core, with a browser's adapters, and machines in Workers. Its types
// name what a compiler for ES2022 does not know by itself.
/// <reference lib="esnext.disposable" preserve="true" />
export * from "../core.ts";
export { browserClock } from "./clock.ts";
export { browserFirmware } from "./firmware.ts";
export { MachineHost, type WorkerScope } from "./machine-host.ts";
export { type MachineOffer, type MachineWanted, type Offered, offerMachine } from "./offer.ts";
export { browserPlatform, createMachine } from "./platform.ts";
export { PortSocket } from "./port-socket.ts";
export { PortSockets, type Reach } from "./port-sockets.ts";
export { readTar } from "./tar.ts";
export { type MachineWatcher, type PageOptions, WorkerMachine } from "./worker-machine.ts";
export { type Ended, endText, type WorkerMachineOptions } from "./worker-protocol.ts";
