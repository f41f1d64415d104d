// `torito run` and `torito serve`: one machine for the life of the process.
import { createLog, type Log, type LogLevel } from "../log.ts";
import type { Watchdog } from "../node/watchdog.ts";
import { readGuestStats } from "../stats.ts";
import type { Command } from "./arguments.ts";
import { assertServed } from "./config/publish.ts";
import { untilTimeout } from "./ends.ts";
import { imagePath, readImage } from "./image.ts";
import { exitCode, watches } from "./parts.ts";
import { Recording } from "./recording.ts";
import type { Admin } from "./service/admin.ts";
import { untilSignal } from "./service/drain.ts";
import { takeInherited } from "./service/inherited.ts";
import { notifier } from "./service/notify.ts";
import { Reloader, type Reread } from "./service/reload.ts";
import { lastExit } from "./service/restart.ts";
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
    ...{ watchdog, signals, reread, log },
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

/** The parts of the process that a command uses. */
interface Surroundings {
  readonly watchdog: Watchdog | null;
  readonly signals: Signals;
  readonly reread: Reread;
  readonly setLevel: (level: LogLevel) => void;
  readonly log: Log;
}

async function runImage(command: Command, surroundings: Surroundings): Promise<End> {
  const { watchdog, signals, log } = surroundings;
  ignoreReloads(signals, log);
  assertServed(command);
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
  return runMachine(command, image, surroundings);
}

async function runMachine(
  given: Command,
  image: ReturnType<typeof readImage>,
  { watchdog, signals, reread, setLevel, log }: Surroundings,
): Promise<End> {
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const snapshot = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = snapshot === null ? given : withDevicesOf(given, snapshot);
  const recording = new Recording(log);
  const capture = command.capture === null ? null : recording.capture(command.capture);
  const trace = command.tracePath === null ? undefined : recording.trace(command.tracePath);
  const notify = notifier(process.env, log);
  const service = new Service(command, {
    ...{ image, snapshot, capture, trace, watchdog, notify, log },
    inherited: takeInherited(process.env),
  });
  const reloader = new Reloader(service, reread, setLevel, log);
  signals.onReload(() => {
    notify("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    reloader.reload("SIGHUP");
    notify("READY=1");
  });
  await service.bind();
  const admin = await openAdmin(service, reloader, setLevel, log);
  await watches(watchdog, log); // the image's start function is guest code too
  const signalled = untilSignal(signals, service, () => service.command, log);
  const machine = await service.start();
  const last = lastExit(service, machine, command.restarts, log);
  const exited = last.then((exit) => asLongAsItTakes(exitCode(exit, log)));
  const { code, patienceMs } = await Promise.race([exited, timeout, signalled]);
  admin?.close();
  await service.dispose();
  if (command.stats && service.vsock !== null) {
    const guest = readGuestStats(machine.memory);
    stderr.line(statsText(service.vsock.stats, guest, command.logFormat));
  }
  const complete = recording.end();
  return { code: code === 0 && !complete ? EXIT_UNAVAILABLE : code, patienceMs };
}

/** The listener, if one is wanted; otherwise null. It is there while the guest boots. */
async function openAdmin(
  service: Service,
  reloader: Reloader,
  setLevel: (level: LogLevel) => void,
  log: Log,
): Promise<Admin | null> {
  const wanted = service.command.admin;
  if (wanted === null) return null;
  const { Admin } = await import("./service/admin.ts");
  const { address, names, snapshotPath } = wanted;
  const save = snapshotPath === null ? null : () => saveTo(service, snapshotPath);
  const admin = new Admin({ service, reloader, setLevel, names, save });
  log("info", "torito", `admin on ${await admin.listen(address)}`);
  return admin;
}

/** Saves the running machine. Rejects with the reason. */
async function saveTo({ machine }: Service, path: string): Promise<string> {
  if (machine === null) throw new Error("there is no machine now");
  const snapshot = await machine.snapshot();
  await snapshot.save(path);
  return path;
}
