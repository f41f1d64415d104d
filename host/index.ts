// The library: a machine, its devices, and what a device or a test of one's own needs. Its types
// name Node's, which not every compiler looks for by itself.
/// <reference types="node" preserve="true" />
export { type Clock, ManualClock, systemClock } from "./clock.ts";
export type { DeviceHost, DeviceTrace, VirtioDevice } from "./device.ts";
export { hostFiles } from "./devices/fs/host-files.ts";
export type { FsStats } from "./devices/fs/stats.ts";
export { FsDevice, type FsOptions } from "./devices/fs.ts";
export { PacketCapture } from "./devices/vsock/capture.ts";
export type { ReceiveMode, VsockLimits } from "./devices/vsock/hub.ts";
export type { PublishedPort } from "./devices/vsock/listeners.ts";
export type { VsockOptions } from "./devices/vsock/options.ts";
export type { ConnectionStats, Traffic, VsockStats } from "./devices/vsock/stats.ts";
export { VsockSwitch } from "./devices/vsock/switch.ts";
export { VsockDevice } from "./devices/vsock.ts";
export type { Exit } from "./exit.ts";
export type { FileChanges, FileStat, FileSystemStat, Files, FileTime } from "./files.ts";
export { createLog, type Log, type LoggerOptions, type LogLevel } from "./log.ts";
export { Machine, type MachineOptions } from "./machine.ts";
export { GuestError, GuestMemory } from "./memory.ts";
export { RegisterFile } from "./mmio.ts";
export type {
  Acceptor,
  Listener,
  ReadSource,
  SocketAddress,
  SocketEvents,
  Sockets,
  StreamSocket,
  TcpAddress,
  UnixAddress,
} from "./sockets.ts";
export { NodeSockets } from "./sockets.ts";
export { type GuestStats, readGuestStats } from "./stats.ts";
export { JsonTrace, type TraceArguments, type TraceEvent, type TraceSink } from "./trace.ts";
export { Chain, VirtQueue } from "./virtqueue.ts";
