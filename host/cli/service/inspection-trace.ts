// A trace that begins while the machine runs: a file that is sent as it grows.
import type { ServerResponse } from "node:http";
import type { InspectedMachine } from "./inspected.ts";

/** A client that is slower than the machine gets the beginning of the trace. */
const UNSENT_BYTES_MAX = 16 * 1024 * 1024;

/**
 * Ends after `seconds`, when the client leaves, or when the result is called. The machine waits for
 * none of them. `names`: with paths of requests and names of files.
 */
export function sendTrace(
  machine: InspectedMachine,
  response: ServerResponse,
  seconds: number,
  names: boolean,
): () => void {
  response.writeHead(200, {
    "Content-Type": "application/json",
    "Content-Disposition": 'attachment; filename="trace.json"',
    "Cache-Control": "no-store",
  });
  const timer = setTimeout(() => end(), seconds * 1000);
  let isEmpty = true;
  const file = {
    write: (bytes: Uint8Array) => {
      if (response.writableLength > UNSENT_BYTES_MAX) return end();
      isEmpty = false;
      response.write(bytes.slice());
    },
    ended: () => {
      clearTimeout(timer);
      response.end(isEmpty ? "[]\n" : ""); // a machine that is stopped in a kick has no events
    },
  };
  const end = machine.trace(file, names);
  response.on("close", end);
  return end;
}
