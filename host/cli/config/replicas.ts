// The number of replicas, and the options that one machine alone can have.
import { CliError } from "../usage.ts";
import { parseInteger } from "../values.ts";
import type { Values } from "./values.ts";

/** Each has a thread, and memory of its own. */
const REPLICAS_MAX = 64;
/** They name a file or a path that machines cannot share, or are about one machine. */
const OF_ONE = ["pcap", "trace", "stats", "vsock-uds", "net"] as const;
/** The process writes them, which has no machine then. */
const OF_PROCESS = ["pcap", "pcap-net", "trace", "stats"] as const;

export interface ReplicaSettings {
  readonly replicas: number;
  /** Has each machine a thread of its own? */
  readonly areThreads: boolean;
}

/**
 * A single machine has no thread of its own, unless it is inspected and `replicas` is given: then
 * the inspector stops it inside kicks. Throws CliError if there are too many, or if another option
 * does not go with threads.
 */
export function replicasOf(values: Values, ports: number): ReplicaSettings {
  const label = values.label("replicas");
  const replicas = parseInteger(label, values.one("replicas") ?? "", 1, REPLICAS_MAX);
  const isOne = replicas === 1;
  if (isOne && !(values.has("replicas") && values.isOn("inspect"))) {
    return { replicas, areThreads: false };
  }
  const how = isOne ? `${values.label("inspect")} and ${label} 1` : `${label} ${replicas}`;
  for (const name of isOne ? OF_PROCESS : OF_ONE) {
    if (!values.has(name)) continue;
    const why = isOne ? "is of a machine without a thread" : "is of one machine";
    throw new CliError(`${values.label(name)} ${why}: not with ${how}`);
  }
  if (ports === 0) throw new CliError(`${how}: no port is published to share`);
  return { replicas, areThreads: true };
}
