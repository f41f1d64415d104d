// `torito run` and `torito serve`: one machine for the life of the process.
import { createLog, type LogLevel } from "../log.ts";
import type { Watchdog } from "../node/watchdog.ts";
import { readGuestStats } from "../stats.ts";
import type { Command } from "./arguments.ts";
import { assertDescriptors } from "./config/descriptors.ts";
import { assertPrivate } from "./config/private-files.ts";
import { assertServed } from "./config/publish.ts";
import { untilTimeout } from "./ends.ts";
import { imagePath, readImage } from "./image.ts";
import { STDOUT } from "./output.ts";
import { exitCode, watches } from "./parts.ts";
import { Recording } from "./recording.ts";
import { logFiles } from "./service/access-log.ts";
import { openAdmin, reloadable, type Surroundings } from "./service/administer.ts";
import { announcer, warnOfRoot } from "./service/announce.ts";
import { untilSignal } from "./service/drain.ts";
import { takeInherited } from "./service/inherited.ts";
import { notifier } from "./service/notify.ts";
import { inspectedOf } from "./service/own-machine.ts";
import { noteRequests, type Reread } from "./service/reload.ts";
import { lastExit } from "./service/restart.ts";
import { Service } from "./service/service.ts";
import { ignoreReloads, type Signals } from "./service/signals.ts";
import { loadSnapshot, withDevicesOf } from "./snapshots.ts";
import { statsText } from "./stats.ts";
import { stderr, stdout, tellFailures } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_ERRORS, EXIT_UNAVAILABLE } from "./usage.ts";

/** Runs until the guest or the user ends it. The watchdog may not be running yet. */
export async function run(
  command: Command,
  watchdog: Watchdog | null,
  signals: Signals,
  reread: Reread,
): Promise<End> {
  const logging = {
    format: command.logFormat,
    level: command.logLevel,
    write: stderr.line,
    fields: { cid: command.cid },
  };
  const log = createLog(logging);
  const surroundings = {
    ...{ watchdog, signals, reread, logging, log },
    setLevel: (level: LogLevel) => {
      logging.level = level;
    },
  };
  tellFailures((message) => log("error", "torito", message));
  try {
    return await runImage(command, surroundings);
  } catch (error) {
    if (!(error instanceof CliError) || command.logFormat !== "json") throw error;
    log("error", "torito", error.message);
    return asLongAsItTakes(error.code);
  }
}

async function runImage(command: Command, surroundings: Surroundings): Promise<End> {
  const { watchdog, signals, log } = surroundings;
  ignoreReloads(signals, log);
  assertServed(command);
  assertPrivate(command);
  assertDescriptors(command);
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
  if (command.areThreads) {
    const { serveReplicas } = await import("./replicas/serve.ts");
    return serveReplicas(command, image, surroundings);
  }
  return runMachine(command, image, surroundings);
}

/** By a capture: the guest's console is elsewhere then. */
const isStdoutTaken = ({ capture, netCapture }: Command): boolean =>
  [capture, netCapture].some((one) => one?.path === STDOUT);

async function runMachine(
  given: Command,
  image: ReturnType<typeof readImage>,
  surroundings: Surroundings,
): Promise<End> {
  const { watchdog, signals, log } = surroundings;
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const snapshot = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = snapshot === null ? given : withDevicesOf(given, snapshot);
  const recording = new Recording(log);
  const capture = command.capture === null ? null : recording.capture(command.capture);
  const netCapture = command.netCapture === null ? null : recording.captureNet(command.netCapture);
  const trace = command.trace === null ? undefined : recording.trace(command.trace);
  const notify = notifier(process.env, log);
  const service = new Service(command, {
    ...{ image, snapshot, capture, netCapture, trace, notify, log },
    presence: watchdog?.presence,
    kicks: null,
    console: (isStdoutTaken(command) ? stderr : stdout).write,
    openLog: logFiles(log),
    areNoted: noteRequests(command),
    inherited: takeInherited(process.env),
    shared: null,
    opened: announcer(command, notify, log),
  });
  const reloader = reloadable(service, surroundings, notify);
  await service.bind();
  warnOfRoot(command, log);
  const admin = await openAdmin(service, reloader, surroundings, inspectedOf(service));
  await watches(watchdog, log); // the image's start function is guest code too
  const signalled = untilSignal(signals, service, () => service.command, log);
  const machine = await service.start();
  const last = lastExit(service, machine, command.restarts, log);
  const exited = last.then((exit) => asLongAsItTakes(exitCode(exit, log)));
  const { code, patienceMs } = await Promise.race([exited, timeout, signalled]);
  await admin?.close();
  await service.dispose();
  if (command.stats && service.vsock !== null) {
    const guest = readGuestStats(machine.memory);
    stderr.line(statsText(service.vsock.stats, guest, command.logFormat));
  }
  const complete = recording.end();
  return { code: code === 0 && !complete ? EXIT_UNAVAILABLE : code, patienceMs };
}
