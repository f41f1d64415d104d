// The cost of a trace, and of a capture, beside the same server without them. Client and server
// share a core, so that the rate is 1 / (their CPU time) whatever else the machine does.
import { join } from "node:path";
import { makeFolder, usableCores } from "../lib/programs.mjs";
import { measureWays } from "../lib/ways.mjs";

const folder = makeFolder();
const flag = (/** @type {string} */ what, /** @type {string} */ file) => [what, join(folder, file)];

const WAYS = [
  { name: "plain", flags: [] },
  { name: "trace", flags: flag("--trace", "trace.json") },
  // The file makes the difference to the one before.
  { name: "trace to null", flags: ["--trace", "/dev/null"] },
  { name: "pcap", flags: flag("--pcap", "one.pcap") },
  {
    name: "trace and pcap",
    flags: [...flag("--trace", "both.json"), ...flag("--pcap", "both.pcap")],
  },
];

export const ratioMetrics = ["rate", "server CPU"];
export const pairsOf = () => WAYS.slice(1).map(({ name }) => [name, "plain"]);

/** @param {import("../run.mjs").Run} run */
export function measure(run) {
  const [core] = usableCores();
  return measureWays("trace", WAYS, { client: core, server: core }, run);
}

/** Its figures are a table. */
export const panels = () => [];
