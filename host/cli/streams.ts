// The process's two streams, and how it ends without losing output.
import { setTimeout } from "node:timers/promises";
import { callsRunning } from "../node/files/threads.ts";
import { OutputStream, type Tell } from "./output-stream.ts";
import { EXIT_UNAVAILABLE } from "./usage.ts";

const SIGNAL_CODES = { SIGINT: 130, SIGTERM: 143 } as const;
/** A call in the thread pool that takes longer is taken to hang. */
const HANG_MS = 500;
const LOOK_MS = 10;

const tellPlainly: Tell = (message) => stderr.line(`error: ${message}\n`);

export const stdout = new OutputStream("stdout", process.stdout, tellPlainly);
export const stderr = new OutputStream("stderr", process.stderr, tellPlainly);

/** Threads that have not ended: Node's exit waits for their calls too. */
export const threads = new Set<unknown>();

/** From now on both streams report failures in this format. */
export function tellFailures(tell: Tell): void {
  stdout.tell = stderr.tell = tell;
}

/**
 * Ends the process when all output has arrived, after `patienceMs`, or at a signal. Lost output
 * turns success into failure.
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
  await stderr.flushed(); // after a report of stdout's failure
  return leave(code === 0 && (stdout.failed || stderr.failed) ? EXIT_UNAVAILABLE : code);
}

/**
 * Node's exit waits for its thread pool, deaf to signals, and a disk that hangs blocks it for good.
 * So the calls are awaited here. If a signal ends the process, and a call does not end soon by
 * itself, the signal is raised again with its default action.
 */
async function leave(code: number): Promise<never> {
  const [signal] = Object.entries(SIGNAL_CODES).find(([, its]) => its === code) ?? [];
  const patienceMs = signal === undefined ? Number.POSITIVE_INFINITY : HANG_MS;
  const holdUp = () => callsRunning() + threads.size;
  for (let ms = 0; ms < patienceMs && holdUp() > 0; ms += LOOK_MS) await setTimeout(LOOK_MS);
  if (signal !== undefined && holdUp() > 0) {
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  }
  process.exit(code);
}
