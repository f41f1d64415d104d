// How a service is administered while it runs: by SIGHUP, and by its admin listener.
import type { Log, LoggerOptions, LogLevel } from "../../log.ts";
import type { Watchdog } from "../../node/watchdog.ts";
import type { Admin } from "./admin.ts";
import type { Inspected } from "./inspected.ts";
import type { InspectionPages } from "./inspection.ts";
import type { Notify } from "./notify.ts";
import { Reloader, type Reread } from "./reload.ts";
import type { Served } from "./served.ts";
import type { Signals } from "./signals.ts";

/** The parts of the process that a command uses. */
export interface Surroundings {
  readonly watchdog: Watchdog | null;
  readonly signals: Signals;
  readonly reread: Reread;
  readonly setLevel: (level: LogLevel) => void;
  /** The options of the log. */
  readonly logging: LoggerOptions;
  readonly log: Log;
}

/** From now on SIGHUP reads the settings again. */
export function reloadable(
  service: Served,
  { signals, reread, setLevel, log }: Surroundings,
  notify: Notify,
): Reloader {
  const reloader = new Reloader(service, reread, setLevel, log);
  signals.onReload(async () => {
    notify("RELOADING=1", `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`);
    await reloader.reload("SIGHUP");
    notify("READY=1");
  });
  return reloader;
}

/** The listener, if one is wanted; otherwise null. It is there while the guest boots. */
export async function openAdmin(
  service: Served,
  reloader: Reloader,
  { setLevel, log }: Surroundings,
  inspected: Inspected | null = null,
): Promise<Admin | null> {
  const wanted = service.command.admin;
  if (wanted === null) return null;
  const { Admin } = await import("./admin.ts");
  const { address, names, snapshotPath, inspects, showsNames } = wanted;
  const inspection =
    inspects && inspected !== null ? await inspectionOf(inspected, showsNames) : null;
  const admin = new Admin({ service, reloader, setLevel, names, inspection, snapshotPath });
  const url = await admin.listen(address);
  log("info", "torito", `admin on ${url}`);
  if (inspection !== null) log("info", "torito", `inspector on ${url}inspect`);
  return admin;
}

async function inspectionOf(inspected: Inspected, showsNames: boolean): Promise<InspectionPages> {
  const { InspectionPages } = await import("./inspection.ts");
  return new InspectionPages(inspected, showsNames);
}
