// The address of the admin listener. It is nobody's business but this host's.
import { isIP, type Server } from "node:net";
import { removeStale } from "../../node/sockets/unix.ts";
import { CliError, EXIT_UNAVAILABLE } from "../usage.ts";
import { LOCALHOST, PORT_MAX, parseInteger } from "../values.ts";

export type AdminAddress =
  | { readonly host: string; readonly port: number }
  | { readonly path: string };

/**
 * PORT, HOST:PORT, or a path with a slash. Throws CliError for others, and for an address that
 * other hosts reach, unless that is wanted.
 */
export function parseAdmin(name: string, text: string, isInsecure: boolean): AdminAddress {
  if (text.includes("/")) return { path: text };
  const [, host = LOCALHOST, port] = /^(?:(.+):)?(\d+)$/.exec(text) ?? [];
  if (port === undefined) throw new CliError(`${name} ${text}: not [HOST:]PORT or a path`);
  const bare = host.replace(/^\[(.*)\]$/, "$1");
  if (!isInsecure && !isLoopback(bare)) {
    throw new CliError(`${name} ${text}: others would reach it; admin-insecure allows that`);
  }
  return { host: bare, port: parseInteger(name, port, 0, PORT_MAX) };
}

function isLoopback(host: string): boolean {
  if (host === "localhost" || host === "::1") return true;
  return isIP(host) === 4 && host.startsWith("127.");
}

/** Listens. A socket of AF_UNIX that nobody listens on is removed first. Rejects with CliError. */
export async function listenAt(server: Server, address: AdminAddress): Promise<void> {
  try {
    await bind(server, address);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const isTaken = code === "EADDRINUSE" && "path" in address;
    const fault = isTaken ? await removeStale(address.path) : message;
    if (fault !== "") throw new CliError(`admin: ${fault}`, EXIT_UNAVAILABLE);
    await bind(server, address);
  }
}

function bind(server: Server, address: AdminAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(address, () => {
      server.removeAllListeners("error");
      resolve();
    });
  });
}
