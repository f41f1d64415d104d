// The library on Node: the core, with Node's adapters as defaults. Its types name Node's, which not
// every compiler looks for by itself.
/// <reference types="node" preserve="true" />
export * from "./core.ts";
// Ethernet is not in the core: a tab has nothing to plug a card into, and its bundle stays small.
export type { Frame } from "./devices/net/frame.ts";
export type { Card, Network, Port } from "./devices/net/network.ts";
export type { Offload } from "./devices/net/offload/offload.ts";
export type { NetStats } from "./devices/net/stats.ts";
export type { StreamNetworkStats } from "./devices/net/stream.ts";
export { NetSwitch, type NetSwitchOptions, type NetSwitchStats } from "./devices/net/switch.ts";
export type { FrameTap } from "./devices/net/tap.ts";
export type { UserNetworkStats } from "./devices/net/user/stats.ts";
export type { UserPublish } from "./devices/net/user.ts";
export { NetDevice, type NetOptions } from "./devices/net.ts";
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
  UserNetwork,
  type UserNetworkOptions,
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
