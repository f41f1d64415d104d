// The library: a machine, its devices, and what a device or a test of one's own needs. Its types
// name Node's, which not every compiler looks for by itself.
/// <reference types="node" preserve="true" />

export type { DeviceHost, DeviceTrace, VirtioDevice } from "./device.ts";
export type { FsStats } from "./devices/fs/stats.ts";
export { FsDevice, type FsOptions } from "./devices/fs.ts";
export type { ReceiveMode, VsockLimits } from "./devices/vsock/hub.ts";
export type { VsockOptions } from "./devices/vsock/options.ts";
export { PacketCapture } from "./devices/vsock/rings/capture.ts";
export type { PublishedPort } from "./devices/vsock/routes/listeners.ts";
export { VsockSwitch } from "./devices/vsock/routes/switch.ts";
export type { ConnectionStats, Traffic, VsockStats } from "./devices/vsock/stats.ts";
export { VsockDevice } from "./devices/vsock.ts";
export type { Exit } from "./exit.ts";
export { createLog, type Log, type LoggerOptions, type LogLevel } from "./log.ts";
export { Machine, type MachineOptions } from "./machine.ts";
export { GuestError, GuestMemory } from "./memory.ts";
export { RegisterFile } from "./mmio.ts";
export { hostFiles } from "./node/files/host-files.ts";
export { type Clock, ManualClock, systemClock } from "./ports/clock.ts";
export type { FileChanges, FileStat, FileSystemStat, Files, FileTime } from "./ports/files.ts";
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
} from "./ports/sockets.ts";
export { NodeSockets } from "./ports/sockets.ts";
export { type GuestStats, readGuestStats } from "./stats.ts";
export { JsonTrace, type TraceArguments, type TraceEvent, type TraceSink } from "./trace.ts";
export { Chain, VirtQueue } from "./virtqueue.ts";
