// Parts of a machine that the command line makes, and how it words their failures: what the user
// has asked for and cannot be had is one line, without a stack.
import { statSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import type { VirtioDevice } from "../device.ts";
import type { Exit } from "../exit.ts";
import type { Log } from "../log.ts";
import { u32 } from "../memory.ts";
import { FsDevice } from "../node/devices.ts";
import { hostFiles } from "../node/files/host-files.ts";
import type { Machine, MachineOptions } from "../node/machine.ts";
import { PACKAGE_FOLDER } from "../node/package.ts";
import type { Watchdog } from "../node/watchdog.ts";
import type { MachineCommand, Publish, Volume } from "./arguments.ts";
import { CliError, EXIT_MAX, EXIT_SOFTWARE, EXIT_UNAVAILABLE } from "./usage.ts";

/** The image of one of the package's own applications. */
export const ownImage = (name: string): string => join(PACKAGE_FOLDER, "build", `${name}.wasm`);

/**
 * Volumes, and devices of one's own: all but the network. They belong to one machine; with
 * `machines` of them in this process, descriptors are shared out.
 */
export async function openDevices(command: MachineCommand, machines = 1): Promise<VirtioDevice[]> {
  const volumes = command.volumes.map((volume) => openVolume(volume, command, machines));
  return [...volumes, ...(await Promise.all(command.devices.map(makeDevice)))];
}

/** A module that has changed is loaded again: its default export is the device's class. */
export async function makeDevice(path: string): Promise<VirtioDevice> {
  try {
    const url = pathToFileURL(resolve(path));
    url.searchParams.set("v", `${statSync(url).mtimeMs}`);
    const { default: Device } = (await import(url.href)) as { default: new () => VirtioDevice };
    return new Device();
  } catch (error) {
    throw new CliError(`--device ${path}: ${(error as Error).message}`);
  }
}

/** All volumes together hold at most half of the descriptors: sockets need some too. */
export function openVolume(
  volume: Volume,
  { volumes, windowBytes }: MachineCommand,
  machines: number,
): FsDevice {
  try {
    const files = hostFiles();
    const descriptorsMax = files.descriptorsMax() / 2 / volumes.length / machines;
    return new FsDevice({ ...volume, files, descriptorsMax, windowBytes });
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
}

/** A faulty image, or a snapshot that does not fit, is the user's error: one line, no stack. */
export async function usable<T>(machine: Promise<T>): Promise<T> {
  try {
    return await machine;
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** Too many parameters are the user's error too. */
export function boot(machine: Machine): void {
  try {
    machine.boot();
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** An address that cannot be bound is the user's error. */
export async function available<T>(bound: Promise<T>): Promise<T> {
  try {
    return await bound;
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
}

/** Started before it is needed: later there might be no thread left for it. */
export async function watches(watchdog: Watchdog | null, log: Log): Promise<void> {
  if (watchdog === null) return;
  watchdog.lost = ({ message }) => log("error", "torito", `the watchdog is gone: ${message}`);
  try {
    await watchdog.watching;
  } catch (error) {
    const reason = (error as Error).message;
    const way = "--watchdog 0 does without it";
    throw new CliError(`the watchdog cannot be started: ${reason}; ${way}`, EXIT_UNAVAILABLE);
  }
}

/** The options of a machine that the watchdog looks after. */
export function presenceOf(watchdog: Watchdog | null): Pick<MachineOptions, "presence"> {
  return watchdog === null ? {} : { presence: watchdog.presence };
}

/** The address of a published port as a client would write it. */
export function urlOf({ host, port, guestPort }: Publish): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return `${guestPort === 80 ? "http" : "tcp"}://${name}:${port}/`;
}

export function exitCode(exit: Exit, log: Log): number {
  if (exit.kind === "disposed") return 0;
  if (exit.kind === "power-off") return Math.min(u32(exit.code), EXIT_MAX);
  const { message, file, line, column, stack } = exit;
  const place = file === "" ? "" : ` at ${file}:${line}:${column}`;
  log("error", "guest", `panic: ${message}${place}${stack === "" ? "" : `\n${stack}`}`);
  return EXIT_SOFTWARE;
}
