// The file descriptors without which a start makes no sense.
import { descriptorsMax } from "../../node/sockets/descriptors.ts";
import type { Command } from "../commands.ts";
import { CliError, EXIT_UNAVAILABLE } from "../usage.ts";

/** Node itself has most of these. */
const PROCESS = 16;
/** A machine has seven; the others are for its clients and their files. */
const MACHINE = 32;

/** Throws CliError if the process may open too few for its machines. */
export function assertDescriptors({ replicas }: Command, most = descriptorsMax()): void {
  const needed = PROCESS + MACHINE * replicas;
  if (most >= needed) return;
  const whose = replicas === 1 ? "" : ` for ${replicas} replicas`;
  throw new CliError(
    `too few file descriptors (ulimit -n): ${most}, and ${needed} are needed${whose}`,
    EXIT_UNAVAILABLE,
  );
}
