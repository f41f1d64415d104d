// The process's two streams, and how it ends without losing what it has written to them.
import { setTimeout } from "node:timers/promises";
import { callsRunning } from "../node/files/threads.ts";
import { OutputStream, type Tell } from "./output-stream.ts";
import { EXIT_UNAVAILABLE } from "./usage.ts";

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
/** A call of the thread pool that takes longer hangs. */
const HANG_MS = 500;
const LOOK_MS = 10;

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
    void setTimeout(patienceMs).then(() => {
      if (stdout.unread > 0) stderr.tell(`stdout: nobody read the last ${stdout.unread} bytes`);
      return leave(code);
    });
  }
  await stdout.flushed();
  await stderr.flushed(); // behind what stdout's failure had to say
  return leave(code === 0 && (stdout.failed || stderr.failed) ? EXIT_UNAVAILABLE : code);
}

/**
 * Node's exit waits for its thread pool, deaf to signals, and a disk that hangs keeps that for
 * ever. So the calls are waited for here; and where a signal has the last word, and a call does not
 * end soon by itself, that signal ends us, as the system does it.
 */
async function leave(code: number): Promise<never> {
  const [signal] = Object.entries(SIGNAL_CODES).find(([, its]) => its === code) ?? [];
  const patienceMs = signal === undefined ? Number.POSITIVE_INFINITY : HANG_MS;
  for (let ms = 0; ms < patienceMs && callsRunning() > 0; ms += LOOK_MS) await setTimeout(LOOK_MS);
  if (signal !== undefined && callsRunning() > 0) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  process.exit(code);
}
