// Listening sockets that a service manager has bound and hands over, so that clients wait while the
// service restarts (sd_listen_fds(3)): LISTEN_FDS of them, from descriptor 3 on.
import { fstatSync } from "node:fs";
import { CliError } from "../usage.ts";

const FIRST = 3;
const SOCKETS_MAX = 64;
const VARIABLES = ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"] as const;

/** A socket that was handed over. */
export interface Inherited {
  readonly fd: number;
  /** "": it has none. */
  readonly name: string;
  /** Is it this thread's from now on? Missing: nobody else has it. */
  readonly claim?: () => boolean;
}

/**
 * The sockets that are for this process. Removes the variables, which are not for its children.
 * Throws CliError if they do not say what is there.
 */
export function takeInherited(env: NodeJS.ProcessEnv, pid = process.pid): readonly Inherited[] {
  const [forPid, count, names = ""] = VARIABLES.map((name) => env[name]);
  for (const name of VARIABLES) delete env[name];
  if (count === undefined || forPid !== `${pid}`) return [];
  if (!/^\d+$/.test(count) || Number(count) > SOCKETS_MAX) {
    throw new CliError(`LISTEN_FDS ${count}: not a number from 0 to ${SOCKETS_MAX}`);
  }
  const list = names.split(":");
  return Array.from({ length: Number(count) }, (_, i) => {
    const fd = FIRST + i;
    assertSocket(fd);
    return { fd, name: list[i] ?? "" };
  });
}

function assertSocket(fd: number): void {
  try {
    if (fstatSync(fd).isSocket()) return;
  } catch (error) {
    throw new CliError(`LISTEN_FDS: descriptor ${fd}: ${(error as Error).message}`);
  }
  throw new CliError(`LISTEN_FDS: descriptor ${fd} is not a socket`);
}
