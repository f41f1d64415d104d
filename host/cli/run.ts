// `torito run` and `torito serve`: one machine for the life of the process.
import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { hostFiles } from "../devices/fs/host-files.ts";
import { FsDevice } from "../devices/fs.ts";
import { PacketCapture } from "../devices/vsock/capture.ts";
import { VsockDevice } from "../devices/vsock.ts";
import type { Exit } from "../exit.ts";
import { createLog, type Log } from "../log.ts";
import { Machine } from "../machine.ts";
import { u32 } from "../memory.ts";
import { readGuestStats } from "../stats.ts";
import { JsonTrace, type TraceSink } from "../trace.ts";
import { createPresence, startWatchdog } from "../watchdog.ts";
import type { Command, Publish, Volume } from "./arguments.ts";
import { OutputFile } from "./output.ts";
import { statsText } from "./stats.ts";
import { CliError, EXIT_MAX, EXIT_SOFTWARE, EXIT_TIMEOUT, EXIT_UNAVAILABLE } from "./usage.ts";

/** Of the package: above dist/host/cli. */
const ROOT = fileURLToPath(new URL("../../../", import.meta.url));

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof SIGNAL_CODES;

/** Runs until the guest or the user ends it; resolves to the exit code of the process. */
export async function run(command: Command): Promise<number> {
  const log = createLog({
    format: command.logFormat,
    level: command.logLevel,
    write: (line) => process.stderr.write(line),
    fields: { cid: command.cid },
  });
  try {
    return await runMachine(command, log);
  } catch (error) {
    if (!(error instanceof CliError) || command.logFormat !== "json") throw error;
    log("error", "torito", error.message);
    return error.code;
  }
}

async function runMachine(command: Command, log: Log): Promise<number> {
  const { image, sourceMap } = readImage(command.app);
  const volumes = command.volumes.map((volume) => openVolume(volume, command));
  const capture = command.pcapPath === null ? null : startCapture(command.pcapPath, log);
  const trace = command.tracePath === null ? undefined : startTrace(command.tracePath, log);
  const { cid, connect, seqpacket } = command;
  const vsock = new VsockDevice({ cid, connect, seqpacket, capture });
  const presence = createPresence();
  const machine = await usable(
    Machine.create({
      image,
      sourceMap,
      memoryBytes: command.memoryBytes,
      parameters: command.parameters,
      devices: [vsock, ...volumes],
      console: (text) => process.stdout.write(text),
      log,
      presence,
      trace,
    }),
  );
  const ended = untilEnd(machine, vsock, command, log);
  const bound = [];
  for (const wanted of command.publish) {
    const address = await available(vsock.publish(wanted));
    log("debug", "torito", `listening on ${address.host}:${address.port}`);
    bound.push({ ...wanted, ...address });
  }
  if (command.vsockPath !== null) await available(vsock.publishPath(command.vsockPath));
  if (command.watchdogMs !== null) startWatchdog(presence, command.watchdogMs);
  boot(machine);
  announce(vsock, bound, log);
  const code = await ended;
  machine.dispose();
  if (command.stats) {
    const guest = readGuestStats(machine.memory);
    process.stderr.write(statsText(vsock.stats, guest, command.logFormat));
  }
  return code;
}

function readImage(app: string) {
  const path = app.endsWith(".wasm") ? app : `${ROOT}build/${basename(resolve(app))}.wasm`;
  if (!existsSync(path)) {
    const unbuilt = `there is no image ${path}; "npm run build" makes all that are here`;
    throw new CliError(`${app}: ${path === app ? "no such file" : unbuilt}`);
  }
  const map = `${path}.map`;
  try {
    return {
      image: new Uint8Array(readFileSync(path)),
      sourceMap: existsSync(map) ? readFileSync(map, "utf8") : undefined,
    };
  } catch (error) {
    throw new CliError(`${app}: ${(error as Error).message}`);
  }
}

/** All volumes together hold no more than half of the descriptors: sockets need some, too. */
function openVolume(volume: Volume, { volumes, windowBytes }: Command): FsDevice {
  try {
    const files = hostFiles();
    const descriptorsMax = files.descriptorsMax() / 2 / volumes.length;
    return new FsDevice({ ...volume, files, descriptorsMax, windowBytes });
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
}

function startCapture(path: string, log: Log): PacketCapture {
  const file = createOutput("pcap", "capture", path, log);
  process.on("exit", file.close); // however it ends
  return new PacketCapture(file.write);
}

function startTrace(path: string, log: Log): TraceSink {
  const file = createOutput("trace", "trace", path, log);
  const trace = new JsonTrace(file.write);
  process.on("exit", () => {
    trace.end();
    file.close();
  });
  return trace.sink;
}

function createOutput(option: string, what: string, path: string, log: Log): OutputFile {
  try {
    return new OutputFile(what, path, (message) => log("warn", "torito", message));
  } catch (error) {
    throw new CliError(`--${option} ${path}: ${(error as Error).message}`, EXIT_UNAVAILABLE);
  }
}

/** What is wrong with an image is the user's to know: one line, no stack. */
async function usable(machine: Promise<Machine>): Promise<Machine> {
  try {
    return await machine;
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** Too many parameters are the user's to know, too. */
function boot(machine: Machine): void {
  try {
    machine.boot();
  } catch (error) {
    throw new CliError((error as Error).message);
  }
}

/** An address that cannot be bound is the user's to know. */
async function available<T>(bound: Promise<T>): Promise<T> {
  try {
    return await bound;
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
}

/** Says that it is ready, once the guest listens wherever it is published. */
function announce(vsock: VsockDevice, bound: readonly Publish[], log: Log): void {
  Promise.all(bound.map(({ guestPort }) => vsock.probe(guestPort))).then(
    () => {
      const urls = bound.map(({ host, port, guestPort }) => {
        const name = host.includes(":") ? `[${host}]` : host;
        return `  ${guestPort === 80 ? "http" : "tcp"}://${name}:${port}/`;
      });
      log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
    },
    // The machine has ended, which is told elsewhere.
    (error: Error) => log("debug", "torito", `not ready: ${error.message}`),
  );
}

/** Resolves to an exit code: the guest's end, a signal, or the time that the user gave. */
function untilEnd(
  machine: Machine,
  vsock: VsockDevice,
  command: Command,
  log: Log,
): Promise<number> {
  return new Promise((resolve, reject) => {
    machine.exited.then((exit) => resolve(exitCode(exit, log)), reject);
    // A halted guest without a socket or a timer is alive, too.
    setInterval(() => {}, 0x7fffffff);
    if (command.timeoutMs !== null) {
      const seconds = command.timeoutMs / 1000;
      setTimeout(() => {
        log("error", "torito", `timeout after ${seconds} s`);
        resolve(EXIT_TIMEOUT);
      }, command.timeoutMs);
    }
    let signals = 0;
    const onSignal = (signal: Signal) => {
      signals++;
      if (signals > 1) return resolve(SIGNAL_CODES[signal]);
      log("info", "torito", `${signal}: finishing open connections`);
      vsock.drain().then(() => resolve(0), reject);
      setTimeout(() => {
        log("warn", "torito", `connections are still open after ${command.graceMs / 1000} s`);
        resolve(SIGNAL_CODES[signal]);
      }, command.graceMs);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}

function exitCode(exit: Exit, log: Log): number {
  if (exit.kind === "disposed") return 0;
  if (exit.kind === "power-off") return Math.min(u32(exit.code), EXIT_MAX);
  const { message, file, line, column, stack } = exit;
  const place = file === "" ? "" : ` at ${file}:${line}:${column}`;
  log("error", "guest", `panic: ${message}${place}${stack === "" ? "" : `\n${stack}`}`);
  return EXIT_SOFTWARE;
}
