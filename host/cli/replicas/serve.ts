// `torito serve --replicas N`: machines in threads, which share their ports.
import { createLog, type Log, type LoggerOptions } from "../../log.ts";
import { sha256 } from "../../node/platform.ts";
import { encodeSnapshot } from "../../snapshot/file.ts";
import type { Command } from "../commands.ts";
import { untilTimeout } from "../ends.ts";
import type { readImage } from "../image.ts";
import { logFiles } from "../service/access-log.ts";
import { openAdmin, reloadable, type Surroundings } from "../service/administer.ts";
import { announcer, warnOfRoot } from "../service/announce.ts";
import { untilSignal } from "../service/drain.ts";
import { LogOutput } from "../service/log-output.ts";
import { notifier } from "../service/notify.ts";
import { loadSnapshot, withDevicesOf } from "../snapshots.ts";
import { stdout, threads } from "../streams.ts";
import type { End } from "../usage.ts";
import { Fleet } from "./fleet.ts";
import { assertShares, bindPorts } from "./ports.ts";

export async function serveReplicas(
  given: Command,
  image: ReturnType<typeof readImage>,
  { setLevel, ...surroundings }: Surroundings,
): Promise<End> {
  const { signals, logging, log } = surroundings;
  const timeout = untilTimeout(given.timeoutMs, log);
  const { restorePath } = given;
  const snapshot = restorePath === null ? null : await loadSnapshot(restorePath, log);
  const command = snapshot === null ? given : withDevicesOf(given, snapshot);
  assertShares();
  const notify = notifier(process.env, log);
  const output = new LogOutput(logFiles(log), command.accessLog.path);
  const fleet = new Fleet(command, {
    ...{ image, threads, output, notify, log },
    snapshot: snapshot === null ? null : encodeSnapshot(snapshot, sha256),
    ports: await bindPorts(command),
    print: stdout.write,
    opened: announcer(command, notify, log),
    logOf: (replica) => logOf(replica, logging, log),
  });
  const levels: Surroundings = {
    ...surroundings,
    setLevel: (level) => {
      setLevel(level);
      fleet.setLevel(level);
    },
  };
  const reloader = reloadable(fleet, levels, notify);
  warnOfRoot(command, log);
  const admin = await openAdmin(fleet, reloader, levels, fleet.inspected);
  const signalled = untilSignal(signals, fleet, () => fleet.command, log);
  try {
    return await Promise.race([fleet.run(), timeout, signalled]);
  } finally {
    await admin?.close();
    await fleet.dispose();
  }
}

/** Lines of a replica say which one it is. */
function logOf(replica: number, logging: LoggerOptions, log: Log): Log {
  if (logging.format === "json") {
    const fields = { ...logging.fields, replica };
    const { format, write } = logging;
    const live = {
      ...{ format, write, fields },
      get level() {
        return logging.level;
      },
    };
    return createLog(live);
  }
  const name = `replica ${replica}`;
  return (level, component, message) =>
    log(level, component === "torito" ? name : `${name}: ${component}`, message);
}
