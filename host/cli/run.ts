// `torito run` and `torito serve`: one machine for the life of the process.
import { createLog, type Log } from "../log.ts";
import type { Watchdog } from "../node/watchdog.ts";
import { readGuestStats } from "../stats.ts";
import type { Command } from "./arguments.ts";
import { untilTimeout } from "./ends.ts";
import { imagePath, readImage } from "./image.ts";
import { exitCode, watches } from "./parts.ts";
import { Recording } from "./recording.ts";
import { untilSignal } from "./service/drain.ts";
import { Service } from "./service/service.ts";
import { ignoreReloads, type Signals } from "./service/signals.ts";
import { loadSnapshot, withDevicesOf } from "./snapshots.ts";
import { statsText } from "./stats.ts";
import { stderr, tellFailures } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_ERRORS, EXIT_UNAVAILABLE } from "./usage.ts";

/** Runs until the guest or the user ends it. The watchdog may not be running yet. */
export async function run(
  command: Command,
  watchdog: Watchdog | null,
  signals: Signals,
): Promise<End> {
  const log = createLog({
    format: command.logFormat,
    level: command.logLevel,
    write: stderr.line,
    fields: { cid: command.cid },
  });
  tellFailures((message) => log("error", "torito", message));
  try {
    return await runImage(command, watchdog, signals, log);
  } catch (error) {
    if (!(error instanceof CliError) || command.logFormat !== "json") throw error;
    log("error", "torito", error.message);
    return asLongAsItTakes(error.code);
  }
}

async function runImage(
  command: Command,
  watchdog: Watchdog | null,
  signals: Signals,
  log: Log,
): Promise<End> {
  ignoreReloads(signals, log);
  const path = await imagePath(command);
  if (path === null) return asLongAsItTakes(EXIT_ERRORS);
  const image = readImage(command.app, path);
  const { save, machines } = command;
  if (save !== null) {
    const { saveMachine } = await import("./save.ts");
    return saveMachine(command, save, image, watchdog, log);
  }
  if (machines !== null) {
    const { serveFresh } = await import("./fresh.ts");
    return serveFresh(command, machines, image, watchdog, signals, log);
  }
  return runMachine(command, image, watchdog, signals, log);
}

async function runMachine(
  given: Command,
  image: ReturnType<typeof readImage>,
  watchdog: Watchdog | null,
  signals: Signals,
  log: Log,
): Promise<End> {
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const snapshot = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = snapshot === null ? given : withDevicesOf(given, snapshot);
  const recording = new Recording(log);
  const capture = command.pcapPath === null ? null : recording.capture(command.pcapPath);
  const trace = command.tracePath === null ? undefined : recording.trace(command.tracePath);
  const service = new Service(command, { image, snapshot, capture, trace, watchdog, log });
  await service.bind();
  await watches(watchdog, log); // the image's start function is guest code too
  const signalled = untilSignal(signals, service, command, log);
  const machine = await service.start();
  const exited = machine.exited.then((exit) => asLongAsItTakes(exitCode(exit, log)));
  const { code, patienceMs } = await Promise.race([exited, timeout, signalled]);
  service.dispose();
  if (command.stats && service.vsock !== null) {
    const guest = readGuestStats(machine.memory);
    stderr.line(statsText(service.vsock.stats, guest, command.logFormat));
  }
  const complete = recording.end();
  return { code: code === 0 && !complete ? EXIT_UNAVAILABLE : code, patienceMs };
}
