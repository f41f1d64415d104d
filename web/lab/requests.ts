// Requests that the reader sends by hand, from the page to the machine.
import type { WorkerMachine } from "../../host/browser/worker-machine.ts";
import type { Asked } from "../../tools/tour.mjs";

/** Sends them at once, and says in words how they were answered. */
export async function sendRequests(
  machine: WorkerMachine,
  requests: readonly Asked[],
): Promise<string> {
  const started = performance.now();
  try {
    const answers = await Promise.all(
      requests.map(async ({ path, method, headers }) => {
        const response = await machine.fetch(new URL(path, "http://torito/"), { method, headers });
        return { response, bytes: (await response.arrayBuffer()).byteLength };
      }),
    );
    const ms = (performance.now() - started).toFixed(1);
    const bytes = answers.reduce((sum, one) => sum + one.bytes, 0);
    const [first] = answers;
    const status =
      first === undefined ? "" : `${first.response.status} ${first.response.statusText}`;
    return `${answers.length} × ${status}, ${bytes} bytes, ${ms} ms`;
  } catch (error) {
    return (error as Error).message;
  }
}
