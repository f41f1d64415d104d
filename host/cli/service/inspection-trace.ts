// A trace that begins while the machine runs: a file that is sent as it grows.
import type { ServerResponse } from "node:http";
import type { Inspector } from "../../inspect/inspector.ts";
import { JsonTrace } from "../../trace/json-trace.ts";

/** A client that is slower than the machine gets the beginning of the trace. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Ends after `seconds`, or when the client leaves. The machine waits for neither. `names`: with
 * paths of requests and names of files.
 */
export function sendTrace(
  machine: Inspector,
  response: ServerResponse,
  seconds: number,
  names: boolean,
): void {
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Disposition": 'attachment; filename="trace.json"',
    "Cache-Control": "no-store",
  });
  const write = (bytes: Uint8Array) => {
    if (response.writableLength <= UNSENT_BYTES_MAX) response.write(bytes.slice());
    else end();
  };
  const trace = new JsonTrace(write, { names });
  const endTrace = machine.trace(trace.sink);
  const timer = setTimeout(() => end(), seconds * 1000);
  let isEnded = false;
  const end = () => {
    if (isEnded) return;
    isEnded = true;
    clearTimeout(timer);
    endTrace();
    trace.end();
    response.end();
  };
  response.on("close", end);
}
