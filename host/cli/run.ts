// `torito run` and `torito serve`: one machine for the life of the process.
import { existsSync, readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { createLog, type Log } from "../log.ts";
import { VsockDevice } from "../node/devices.ts";
import { Machine } from "../node/machine.ts";
import type { Watchdog } from "../node/watchdog.ts";
import { readGuestStats } from "../stats.ts";
import type { Command, Publish } from "./arguments.ts";
import {
  available,
  boot,
  exitCode,
  openDevices,
  ownImage,
  urlOf,
  usable,
  watches,
} from "./parts.ts";
import { findProject, isProject } from "./project/project.ts";
import { Recording } from "./recording.ts";
import { statsText } from "./stats.ts";
import { stderr, stdout, tellFailures } from "./streams.ts";
import {
  asLongAsItTakes,
  CliError,
  type End,
  EXIT_ERRORS,
  EXIT_TIMEOUT,
  EXIT_UNAVAILABLE,
} from "./usage.ts";

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

type Signal = keyof typeof SIGNAL_CODES;

/** Even when told to end at once, readers of the output get this long. */
const HURRY_MS = 1000;

/** Runs until the guest or the user ends it. The watchdog may not be running yet. */
export async function run(command: Command, watchdog: Watchdog | null): Promise<End> {
  const log = createLog({
    format: command.logFormat,
    level: command.logLevel,
    write: stderr.line,
    fields: { cid: command.cid },
  });
  tellFailures((message) => log("error", "torito", message));
  try {
    return await runMachine(command, watchdog, log);
  } catch (error) {
    if (!(error instanceof CliError) || command.logFormat !== "json") throw error;
    log("error", "torito", error.message);
    return asLongAsItTakes(error.code);
  }
}

async function runMachine(command: Command, watchdog: Watchdog | null, log: Log): Promise<End> {
  const path = await imagePath(command);
  if (path === null) return asLongAsItTakes(EXIT_ERRORS);
  const timeout = startTimeout(command.timeoutMs, log);
  const { image, sourceMap } = readImage(command.app, path);
  const others = await openDevices(command);
  const recording = new Recording(log);
  const capture = command.pcapPath === null ? null : recording.capture(command.pcapPath);
  const trace = command.tracePath === null ? undefined : recording.trace(command.tracePath);
  const { cid, connect, seqpacket } = command;
  const vsock = new VsockDevice({ cid, connect, seqpacket, capture });
  await watches(watchdog, log); // the image's start function is guest code too
  const machine = await usable(
    Machine.create({
      image,
      sourceMap,
      memoryBytes: command.memoryBytes,
      parameters: command.parameters,
      devices: [vsock, ...others],
      console: stdout.write,
      log,
      ...(watchdog === null ? {} : { presence: watchdog.presence }),
      trace,
    }),
  );
  const ended = untilEnd(machine, vsock, command, timeout, log);
  const bound = [];
  for (const wanted of command.publish) {
    const address = await available(vsock.publish(wanted));
    log("debug", "torito", `listening on ${address.host}:${address.port}`);
    bound.push({ ...wanted, ...address });
  }
  if (command.vsockPath !== null) await available(vsock.publishPath(command.vsockPath));
  boot(machine);
  if (machine.ended) log("debug", "torito", "the guest has ended while it booted");
  else announce(vsock, bound, log);
  const { code, patienceMs } = await ended;
  machine.dispose();
  if (command.stats) {
    const guest = readGuestStats(machine.memory);
    stderr.line(statsText(vsock.stats, guest, command.logFormat));
  }
  const complete = recording.end();
  return { code: code === 0 && !complete ? EXIT_UNAVAILABLE : code, patienceMs };
}

/** Resolves when the time limit of the user has passed. */
function startTimeout(timeoutMs: number | null, log: Log): Promise<End> {
  return new Promise((resolve) => {
    if (timeoutMs === null) return;
    setTimeout(() => {
      log("error", "torito", `timeout after ${timeoutMs / 1000} s`);
      resolve({ code: EXIT_TIMEOUT, patienceMs: HURRY_MS });
    }, timeoutMs);
  });
}

/**
 * An image by its path, a project's, which is built first if it is older than its sources, or one
 * of the package's own. null: the project has errors.
 */
async function imagePath({ app, logFormat }: Command): Promise<string | null> {
  if (app.endsWith(".wasm")) return app;
  if (!isProject(app)) return ownImage(basename(resolve(app)));
  const { freshImage } = await import("./project/build.ts");
  return freshImage(findProject(app), logFormat);
}

function readImage(app: string, path: string) {
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

/** Reports readiness, once the guest listens on all published ports. */
function announce(vsock: VsockDevice, bound: readonly Publish[], log: Log): void {
  Promise.all(bound.map(({ guestPort }) => vsock.probe(guestPort))).then(
    () => {
      const urls = bound.map((one) => `  ${urlOf(one)}`);
      log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
    },
    // The machine has ended, which is reported elsewhere.
    (error: Error) => log("debug", "torito", `not ready: ${error.message}`),
  );
}

/** The end of the guest, a signal, or the time limit of the user. */
function untilEnd(
  machine: Machine,
  vsock: VsockDevice,
  command: Command,
  timeout: Promise<End>,
  log: Log,
): Promise<End> {
  return new Promise((resolve, reject) => {
    const end = (code: number, patienceMs: number) => resolve({ code, patienceMs });
    machine.exited.then((exit) => resolve(asLongAsItTakes(exitCode(exit, log))), reject);
    timeout.then(resolve);
    // A halted guest without sockets or timers is alive too.
    setInterval(() => {}, 0x7fffffff);
    let signals = 0;
    const onSignal = (signal: Signal) => {
      signals++;
      if (signals > 1) return end(SIGNAL_CODES[signal], HURRY_MS);
      log("info", "torito", `${signal}: finishing open connections`);
      vsock.drain().then(() => end(0, command.graceMs), reject);
      setTimeout(() => {
        log("warn", "torito", `connections are still open after ${command.graceMs / 1000} s`);
        end(SIGNAL_CODES[signal], HURRY_MS);
      }, command.graceMs);
    };
    process.on("SIGINT", onSignal);
    process.on("SIGTERM", onSignal);
  });
}
