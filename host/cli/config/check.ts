// `--print-config` and `--check`: what holds, and whether it would work, without a machine.
import { accessSync, constants, readdirSync } from "node:fs";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import { sharingFault } from "../../node/sockets/shared-port.ts";
import type { Command } from "../commands.ts";
import { stderr, stdout } from "../streams.ts";
import { asLongAsItTakes, type End, EXIT_USAGE } from "../usage.ts";
import { connectionsIn } from "../values.ts";
import { effectiveText } from "./effective.ts";

/** Carries out a command that only asks about its settings. */
export async function examine(command: Command): Promise<End> {
  if (command.act === "print") {
    await stdout.write(effectiveText(command.settings));
    return asLongAsItTakes(0);
  }
  const faults = await faultsOf(command);
  for (const fault of faults) stderr.line(`torito: ${fault}\n`);
  if (faults.length === 0) stderr.line("torito: the configuration is good\n");
  return asLongAsItTakes(faults.length === 0 ? 0 : EXIT_USAGE);
}

/** Each with the name of the setting. */
async function faultsOf(command: Command): Promise<string[]> {
  const faults = [...memoryFaults(command), ...volumeFaults(command), ...threadFaults(command)];
  const sockets = new NodeSockets();
  const nobody = { accepted() {}, refused() {} };
  for (const { host, port } of command.publish) {
    try {
      (await sockets.listen({ host, port }, 1, nobody)).close();
    } catch (error) {
      faults.push(`publish: ${(error as Error).message}`);
    }
  }
  return faults;
}

function memoryFaults({ connections, memoryBytes, site }: Command): string[] {
  const most = connectionsIn(memoryBytes);
  if (site === null || connections <= most) return [];
  return [`connections: ${connections} do not fit into memory, which holds ${most}`];
}

function threadFaults({ replicas }: Command): string[] {
  const fault = replicas === 1 ? "" : sharingFault();
  return fault === "" ? [] : [`replicas: ${fault}`];
}

function volumeFaults({ volumes }: Command): string[] {
  return volumes.flatMap(({ directory, tag, readOnly }) => {
    const name = tag === "site" ? "root" : "volume";
    try {
      readdirSync(directory);
      if (!readOnly) accessSync(directory, constants.W_OK);
      return [];
    } catch (error) {
      return [`${name}: ${(error as Error).message}`];
    }
  });
}
