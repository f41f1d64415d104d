// The number of replicas, and the options that one machine alone can have.
import { CliError } from "../usage.ts";
import { parseInteger } from "../values.ts";
import type { Values } from "./values.ts";

/** Each has a thread, and memory of its own. */
const REPLICAS_MAX = 64;
/** They name a file or a path that machines cannot share, or are about one machine. */
const OF_ONE = ["pcap", "trace", "stats", "inspect", "vsock-uds", "net"] as const;

/** Throws CliError if there are too many, or if another option does not go with more than one. */
export function replicasOf(values: Values, ports: number): number {
  const label = values.label("replicas");
  const replicas = parseInteger(label, values.one("replicas") ?? "", 1, REPLICAS_MAX);
  if (replicas === 1) return replicas;
  for (const name of OF_ONE) {
    if (values.has(name)) {
      throw new CliError(`${values.label(name)} is of one machine: not with ${label} ${replicas}`);
    }
  }
  if (ports === 0) throw new CliError(`${label} ${replicas}: no port is published to share`);
  return replicas;
}
