// The machine in a browser: the core with a browser's adapters, for a Worker with other devices
// than torito/browser/worker has. Its types name some that a compiler for ES2022 does not know.
/// <reference lib="esnext.disposable" preserve="true" />
export * from "../core.ts";
export { browserClock } from "./clock.ts";
export { browserFirmware } from "./firmware.ts";
export { MachineHost, type WorkerScope } from "./machine-host.ts";
export { browserPlatform, createMachine } from "./platform.ts";
export { PortSocket } from "./port-socket.ts";
export { PortSockets, type Reach } from "./port-sockets.ts";
export { readTar } from "./tar.ts";
