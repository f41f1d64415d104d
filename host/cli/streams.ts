// The process's two streams, and how it ends without losing what it has written to them.
import { callsRunning } from "../devices/fs/threads.ts";
import { OutputStream, type Tell } from "./output-stream.ts";
import { EXIT_UNAVAILABLE } from "./usage.ts";

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;

const tellPlainly: Tell = (message) => stderr.line(`error: ${message}\n`);

export const stdout = new OutputStream("stdout", process.stdout, tellPlainly);
export const stderr = new OutputStream("stderr", process.stderr, tellPlainly);

/** Both streams tell of their failures so from now on. */
export function tellFailures(tell: Tell): void {
  stdout.tell = stderr.tell = tell;
}

/**
 * Ends the process when the readers have all, or after `patienceMs`, or at a signal. Output that
 * was lost is no success.
 */
export async function exit(code: number, patienceMs: number): Promise<never> {
  for (const [signal, its] of Object.entries(SIGNAL_CODES)) {
    process.on(signal, () => leave(its));
  }
  if (patienceMs < Number.POSITIVE_INFINITY) {
    setTimeout(() => {
      if (stdout.unread > 0) stderr.tell(`stdout: nobody read the last ${stdout.unread} bytes`);
      leave(code);
    }, patienceMs);
  }
  await stdout.flushed();
  await stderr.flushed(); // behind what stdout's failure had to say
  leave(code === 0 && (stdout.failed || stderr.failed) ? EXIT_UNAVAILABLE : code);
}

/**
 * Node waits for its thread pool, and a disk that hangs keeps that for ever. So signals do again
 * what the system does by itself; and where a signal has the last word, that is what ends us.
 */
function leave(code: number): never {
  for (const [signal, its] of Object.entries(SIGNAL_CODES)) {
    process.removeAllListeners(signal);
    if (its === code && callsRunning() > 0) process.kill(process.pid, signal);
  }
  process.exit(code);
}
