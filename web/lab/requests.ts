// Requests that the reader sends by hand, from the page to the machine.
import type { WorkerMachine } from "../../host/browser/worker-machine.ts";

/** Sends `count` at once, and says in words how they were answered. */
export async function sendRequests(
  machine: WorkerMachine,
  path: string,
  count: number,
): Promise<string> {
  const started = performance.now();
  try {
    const url = new URL(path, "http://torito/");
    const answers = await Promise.all(
      Array.from({ length: count }, async () => {
        const response = await machine.fetch(url);
        return { response, bytes: (await response.arrayBuffer()).byteLength };
      }),
    );
    const ms = (performance.now() - started).toFixed(1);
    const bytes = answers.reduce((sum, one) => sum + one.bytes, 0);
    const [first] = answers;
    const status =
      first === undefined ? "" : `${first.response.status} ${first.response.statusText}`;
    return `${count} × ${status}, ${bytes} bytes, ${ms} ms`;
  } catch (error) {
    return (error as Error).message;
  }
}
