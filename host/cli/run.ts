// `torito run` and `torito serve`: one machine for the life of the process.
import { createLog, type Log } from "../log.ts";
import { VsockDevice } from "../node/devices.ts";
import { Machine } from "../node/machine.ts";
import type { Watchdog } from "../node/watchdog.ts";
import { readGuestStats } from "../stats.ts";
import type { Command, Publish } from "./arguments.ts";
import { untilSignal, untilTimeout } from "./ends.ts";
import { imagePath, readImage } from "./image.ts";
import {
  available,
  boot,
  exitCode,
  openDevices,
  presenceOf,
  urlOf,
  usable,
  watches,
} from "./parts.ts";
import { Recording } from "./recording.ts";
import { openSite } from "./site.ts";
import { loadSnapshot, withDevicesOf } from "./snapshots.ts";
import { statsText } from "./stats.ts";
import { stderr, stdout, tellFailures } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_ERRORS, EXIT_UNAVAILABLE } from "./usage.ts";

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
    return await runImage(command, watchdog, log);
  } catch (error) {
    if (!(error instanceof CliError) || command.logFormat !== "json") throw error;
    log("error", "torito", error.message);
    return asLongAsItTakes(error.code);
  }
}

async function runImage(command: Command, watchdog: Watchdog | null, log: Log): Promise<End> {
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
    return serveFresh(command, machines, image, watchdog, log);
  }
  return runMachine(command, image, watchdog, log);
}

async function runMachine(
  given: Command,
  image: ReturnType<typeof readImage>,
  watchdog: Watchdog | null,
  log: Log,
): Promise<End> {
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const snapshot = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = snapshot === null ? given : withDevicesOf(given, snapshot);
  const others = await openDevices(command);
  const site = openSite(command, log);
  const recording = new Recording(log);
  const capture = command.pcapPath === null ? null : recording.capture(command.pcapPath);
  const trace = command.tracePath === null ? undefined : recording.trace(command.tracePath);
  const { cid, connect, seqpacket } = command;
  const vsock = new VsockDevice({ cid, connect, seqpacket, capture });
  await watches(watchdog, log); // the image's start function is guest code too
  const options = {
    ...image,
    devices: [vsock, ...others, ...(site === null ? [] : [site.device])],
    console: stdout.write,
    log,
    ...presenceOf(watchdog),
    trace,
  };
  const { memoryBytes, parameters } = command;
  const machine = await usable(
    snapshot === null
      ? Machine.create({ ...options, memoryBytes, parameters })
      : Machine.restore(snapshot, options),
  );
  const ended = untilEnd(machine, vsock, command, timeout, log);
  const bound = [];
  for (const wanted of command.publish) {
    const address = await available(vsock.publish(wanted));
    log("debug", "torito", `listening on ${address.host}:${address.port}`);
    bound.push({ ...wanted, ...address });
  }
  if (command.vsockPath !== null) await available(vsock.publishPath(command.vsockPath));
  if (snapshot === null) boot(machine);
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
  const exited = machine.exited.then((exit) => asLongAsItTakes(exitCode(exit, log)));
  return Promise.race([exited, timeout, untilSignal(() => vsock.drain(), command.graceMs, log)]);
}
