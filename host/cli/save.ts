// `torito snapshot`: boots a machine, lets it warm up, and saves it to a file.
import type { AccessSink } from "../access-log.ts";
import type { Log } from "../log.ts";
import { VsockDevice } from "../node/devices.ts";
import { Machine } from "../node/machine.ts";
import type { Snapshot } from "../node/snapshot.ts";
import type { Watchdog } from "../node/watchdog.ts";
import type { Command, Save } from "./arguments.ts";
import { untilTimeout } from "./ends.ts";
import type { readImage } from "./image.ts";
import { boot, openDevices, presenceOf, usable, watches } from "./parts.ts";
import { openSite } from "./site.ts";
import { stdout } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_SOFTWARE, EXIT_UNAVAILABLE } from "./usage.ts";

const UNHEARD: AccessSink = {
  wantsTexts: false,
  whole() {},
  request() {},
  response() {},
  cut() {},
  lost() {},
};

type Image = ReturnType<typeof readImage>;

export async function saveMachine(
  command: Command,
  save: Save,
  image: Image,
  watchdog: Watchdog | null,
  log: Log,
): Promise<End> {
  const timeout = untilTimeout(command.timeoutMs, log);
  return Promise.race([timeout, bootAndSave(command, save, image, watchdog, log)]);
}

async function bootAndSave(
  command: Command,
  save: Save,
  image: Image,
  watchdog: Watchdog | null,
  log: Log,
): Promise<End> {
  const { memoryBytes, parameters, cid, connect, seqpacket } = command;
  const vsock = new VsockDevice({ cid, connect, seqpacket });
  const site = openSite(command, log);
  const others = await openDevices(command);
  const devices = [vsock, ...others, ...(site === null ? [] : [site.device])];
  await watches(watchdog, log);
  const options = {
    ...image,
    memoryBytes,
    parameters,
    devices,
    console: stdout.write,
    log,
    ...presenceOf(watchdog),
    accessLog: UNHEARD, // whoever restores it may want a log
  };
  const machine = await usable(Machine.create(options));
  boot(machine);
  const snapshot = await whileItLives(machine, async () => {
    await warmUp(machine, vsock, command, save);
    return usable(machine.snapshot());
  });
  machine.dispose();
  await write(snapshot, save.path);
  const kib = Math.ceil(snapshot.bytes / 1024);
  log("info", "torito", `saved ${save.path}: ${kib} KiB of memory in use`);
  return asLongAsItTakes(0);
}

/** A guest that ends in the meantime cannot be saved. */
function whileItLives<Result>(machine: Machine, work: () => Promise<Result>): Promise<Result> {
  const ended = machine.exited.then((exit): never => {
    const why = exit.kind === "panic" ? `: ${exit.message}` : "";
    throw new CliError(`the guest has ended before it was saved${why}`, EXIT_SOFTWARE);
  });
  ended.catch(() => {}); // it may end later
  return Promise.race([ended, work()]);
}

/** Waits for the guest's listeners, and makes the requests that warm it up. */
async function warmUp(
  machine: Machine,
  vsock: VsockDevice,
  { publish }: Command,
  { after }: Save,
): Promise<void> {
  const guestPort = publish[0]?.guestPort ?? 80;
  for (const { guestPort: port } of publish) await vsock.probe(port);
  if (after.length > 0) await vsock.probe(guestPort);
  for (const { method, path } of after) {
    const response = await machine.fetch(`http://localhost${path}`, { method, guestPort });
    await response.arrayBuffer();
    if (!response.ok) throw new CliError(`--after "${method} ${path}": status ${response.status}`);
  }
}

async function write(snapshot: Snapshot, path: string): Promise<void> {
  try {
    await snapshot.save(path);
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
}
