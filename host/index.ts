// The library: a machine, its devices, and what a device or a test of one's own needs.
export { type Clock, ManualClock, systemClock } from "./clock.ts";
export type { DeviceHost, VirtioDevice } from "./device.ts";
export { FsDevice, type FsOptions } from "./devices/fs.ts";
export { VsockDevice, type VsockOptions } from "./devices/vsock.ts";
export { createLog, type Log, type LoggerOptions, type LogLevel } from "./log.ts";
export { type Exit, Machine, type MachineOptions } from "./machine.ts";
export { GuestError, GuestMemory } from "./memory.ts";
export { RegisterFile } from "./mmio.ts";
export { Chain, VirtQueue } from "./virtqueue.ts";
