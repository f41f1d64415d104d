// The library without a platform: everything that runs wherever WebAssembly does. What it needs of
// the world are the interfaces in host/ports; index.ts adds what Node does for them.
export type { HostControlBlock } from "./control-block.ts";
export type { DeviceHost, DeviceSnapshots, DeviceTrace, VirtioDevice } from "./device.ts";
export type { FsLimits } from "./devices/fs/share.ts";
export type { FsStats } from "./devices/fs/stats.ts";
export { FsDevice, type FsOptions } from "./devices/fs.ts";
export type { ReceiveMode, VsockLimits } from "./devices/vsock/limits.ts";
export { PacketCapture } from "./devices/vsock/rings/capture.ts";
export type { PacketTap } from "./devices/vsock/rings/tap.ts";
export { TcpCapture } from "./devices/vsock/rings/tcp-capture.ts";
export type { PublishedPort } from "./devices/vsock/routes/listeners.ts";
export { VsockSwitch } from "./devices/vsock/routes/switch.ts";
export type { ConnectionStats, Refusal, Traffic, VsockStats } from "./devices/vsock/stats.ts";
export { VsockDevice, type VsockHoldings, type VsockOptions } from "./devices/vsock.ts";
export type { Exit } from "./exit.ts";
export { MemoryFiles, type MemoryFilesOptions } from "./files/memory-files.ts";
export type { GuestRequestInit } from "./http/client.ts";
export { FetchError, type FetchErrorCode } from "./http/fetch-error.ts";
export type { Breakpoint } from "./inspect/breakpoints.ts";
export { Feed, type Update, type Viewer } from "./inspect/feed.ts";
export { type Insight, insightOf } from "./inspect/insight.ts";
export { Inspector, type InspectorOptions, type MachineView } from "./inspect/inspector.ts";
export { type GateOrder, KickGate } from "./inspect/kick-gate.ts";
export { createLog, type Log, type LogFormat, type LoggerOptions, type LogLevel } from "./log.ts";
export { Machine } from "./machine.ts";
export { ManualClock } from "./manual-clock.ts";
export { GuestError, GuestMemory } from "./memory.ts";
export { RegisterFile } from "./mmio.ts";
export type { MachineOptions } from "./options.ts";
export type { Platform } from "./parts.ts";
export { PausableClock } from "./pausable-clock.ts";
export type { CaptureOptions } from "./pcap.ts";
export type { Clock } from "./ports/clock.ts";
export type {
  FileChanges,
  FileStat,
  FileSystemStat,
  Files,
  FileTime,
  LaterCall,
  LaterDone,
} from "./ports/files.ts";
export type { FirmwareLibrary } from "./ports/firmware.ts";
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
export { SnapshotError, type SnapshotErrorCode } from "./snapshot/errors.ts";
export { decodeSnapshot, encodeSnapshot } from "./snapshot/file.ts";
export { MachinePool, PooledMachine, type PoolOptions } from "./snapshot/pool.ts";
export type { RestoreOptions } from "./snapshot/restore.ts";
export { Snapshot } from "./snapshot/snapshot.ts";
export { PairLoop, type PairSocket } from "./sockets/pair.ts";
export type { StreamPair } from "./sockets/streams.ts";
export { type GuestStats, readGuestStats } from "./stats.ts";
export type { TraceArguments, TraceEvent, TraceSink } from "./trace/event.ts";
export { JsonTrace } from "./trace/json-trace.ts";
export { Chain, VirtQueue } from "./virtqueue.ts";
