// The ports that replicas share.
import { SharedPort, sharingFault } from "../../node/sockets/shared-port.ts";
import type { Command } from "../commands.ts";
import { available } from "../parts.ts";
import { takeInherited } from "../service/inherited.ts";
import { CliError, EXIT_UNAVAILABLE } from "../usage.ts";

const BACKLOG = 1024;

/** Throws CliError if threads cannot share a port here. */
export function assertShares(): void {
  const fault = sharingFault();
  if (fault !== "") throw new CliError(`replicas: ${fault}`, EXIT_UNAVAILABLE);
}

/** Those that were handed over, or the published ones. Clients wait from now on. */
export async function bindPorts({ publish }: Command): Promise<SharedPort[]> {
  const inherited = takeInherited(process.env);
  const ports: SharedPort[] = [];
  for (const address of inherited.length > 0 ? inherited : publish) {
    ports.push(await available(SharedPort.bind(address, BACKLOG)));
  }
  return ports;
}
