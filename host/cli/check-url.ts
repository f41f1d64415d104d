// `torito check URL`: is a service well? For health checks where there is no curl.
import { get } from "node:http";
import { stderr } from "./streams.ts";
import { asLongAsItTakes, CliError, type End } from "./usage.ts";

const PATIENCE_MS = 1000;

/** Ends with 0 if the URL is answered with a status below 400 in time, and with 1 if not. */
export async function checkUrl(text: string): Promise<End> {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== "http:") throw new CliError(`check ${text}: not a URL of http`);
  const fault = await faultOf(url);
  if (fault !== "") stderr.line(`torito: ${text}: ${fault}\n`);
  return asLongAsItTakes(fault === "" ? 0 : 1);
}

function faultOf(url: URL): Promise<string> {
  return new Promise((resolve) => {
    const signal = AbortSignal.timeout(PATIENCE_MS);
    const request = get(url, { signal, agent: false }, (response) => {
      const { statusCode = 0 } = response;
      response.resume();
      request.destroy();
      resolve(statusCode < 400 ? "" : `status ${statusCode}`);
    });
    request.on("error", (error) => {
      resolve(signal.aborted ? `no answer in ${PATIENCE_MS} ms` : error.message);
    });
  });
}
