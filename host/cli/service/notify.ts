// Tells whoever has started the service how it is: a service manager, through systemd-notify, since
// Node has no datagrams of AF_UNIX; and a line to a descriptor, for managers without it.
import { execFile } from "node:child_process";
import { writeSync } from "node:fs";
import type { Log } from "../../log.ts";

/** The program may hang where nobody reads. */
const PATIENCE_MS = 2000;

export type Notify = (...messages: string[]) => void;

/**
 * Messages of sd_notify(3), as in READY=1. Without NOTIFY_SOCKET they go nowhere. One that cannot
 * be sent is a warning, once, and nothing waits for it.
 */
export function notifier(env: NodeJS.ProcessEnv, log: Log, command = "systemd-notify"): Notify {
  const socket = env.NOTIFY_SOCKET;
  if (socket === undefined || socket === "") return () => {};
  let hasFailed = false;
  return (...messages) => {
    const options = { env: { ...env, NOTIFY_SOCKET: socket }, timeout: PATIENCE_MS };
    execFile(command, [`--pid=${process.pid}`, ...messages], options, (error) => {
      if (error === null || hasFailed) return;
      hasFailed = true;
      log("warn", "torito", `systemd-notify fails: ${error.message.split("\n")[0]}`);
    });
  };
}

/** Writes a line to a descriptor of `--ready-fd`, which whoever waits for it reads. */
export function tellReady(fd: number, log: Log): void {
  try {
    writeSync(fd, "ready\n");
  } catch (error) {
    log("warn", "torito", `ready-fd ${fd}: ${(error as Error).message}`);
  }
}
