// The load: ab and wrk, and what their output says. A run with one failed request has no figures.
import { runToEnd } from "./programs.mjs";

/** @typedef {{ requests: number, requestsPerSecond: number }} Figures */

const TIMEOUT_MS = 120_000;
/** ab names a connection kept when it was asked to and the server agreed. */
const KEPT_SHARE_MIN = 0.99;

/**
 * ApacheBench. Rejects with what went wrong.
 * @param {{ connections: number, keepAlive: boolean, requests: number, bytes: number, url: string,
 *   core: number | undefined }} load
 * @returns {Promise<Figures>}
 */
export async function runAb({ connections, keepAlive, requests, bytes, url, core }) {
  const flags = ["-q", "-c", `${connections}`, "-n", `${requests}`, ...(keepAlive ? ["-k"] : [])];
  const output = await runToEnd(["ab", ...flags, url], core, TIMEOUT_MS);
  const complete = field(output, /^Complete requests:\s+(\d+)/m);
  const failed = field(output, /^Failed requests:\s+(\d+)/m);
  const length = field(output, /^Document Length:\s+(\d+) bytes/m);
  if (failed !== 0) throw new Error(`${failed} of ${requests} requests failed`);
  if (/^Non-2xx responses:/m.test(output)) throw new Error("responses other than 2xx");
  if (complete !== requests) throw new Error(`${complete} of ${requests} requests were answered`);
  if (length !== bytes) throw new Error(`${length} of ${bytes} bytes in each response`);
  if (keepAlive) {
    const kept = field(output, /^Keep-Alive requests:\s+(\d+)/m);
    if (!(kept >= requests * KEPT_SHARE_MIN)) throw new Error(`${kept} connections were kept`);
  }
  const requestsPerSecond = field(output, /^Requests per second:\s+([\d.]+)/m);
  return { requests, requestsPerSecond };
}

/**
 * wrk, one thread. Rejects with what went wrong.
 * @param {{ connections: number, seconds: number, bytes: number, url: string,
 *   core: number | undefined }} load
 * @returns {Promise<Figures>}
 */
export async function runWrk({ connections, seconds, bytes, url, core }) {
  const flags = ["-t1", `-c${connections}`, `-d${seconds}s`];
  const output = await runToEnd(["wrk", ...flags, url], core, TIMEOUT_MS);
  const trouble = /^\s*(Socket errors:.*|Non-2xx or 3xx responses:.*)$/m.exec(output);
  if (trouble !== null) throw new Error(trouble[1]);
  const requests = field(output, /(\d+) requests in /);
  const unit = ["B", "KB", "MB", "GB"].indexOf(/, [\d.]+([KMG]?B) read/.exec(output)?.[1] ?? "");
  const got = field(output, /, ([\d.]+)[KMG]?B read/) * 1024 ** unit;
  // wrk does not look at lengths; it prints three digits of their sum.
  if (!(got > requests * bytes * 0.98)) throw new Error(`${got} bytes in ${requests} responses`);
  return { requests, requestsPerSecond: field(output, /^Requests\/sec:\s+([\d.]+)/m) };
}

/** @param {string} output @param {RegExp} pattern */
function field(output, pattern) {
  const found = pattern.exec(output)?.[1];
  if (found === undefined) throw new Error(`no ${pattern} in: ${output.trim().slice(-200)}`);
  return Number(found);
}
