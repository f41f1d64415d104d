// The library on Node: the core, with Node's adapters as defaults. Its types name Node's, which not
// every compiler looks for by itself.
/// <reference types="node" preserve="true" />
export * from "./core.ts";
export { systemClock } from "./node/clock.ts";
export {
  FrameCapture,
  FsDevice,
  type FsOptions,
  MemoryFiles,
  PacketCapture,
  StreamNetwork,
  type StreamNetworkOptions,
  TcpCapture,
  VsockDevice,
  type VsockOptions,
  VsockSwitch,
} from "./node/devices.ts";
export { hostFiles } from "./node/files/host-files.ts";
export { Machine } from "./node/machine.ts";
export { MachinePool } from "./node/pool.ts";
export { Snapshot } from "./node/snapshot.ts";
export { SocketDuplex } from "./node/sockets/duplex.ts";
export { NodeSockets } from "./node/sockets/node-sockets.ts";
