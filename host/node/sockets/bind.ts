// Binds an address for NodeSockets: stale paths are replaced, and errors say what and why.
import type net from "node:net";
import { addressText, type ListenAddress, type SocketAddress } from "../../ports/sockets.ts";
import { pathFault, removeStale } from "./unix.ts";

const FAULTS: Readonly<Record<string, string>> = {
  EADDRINUSE: "the address is in use",
  EACCES: "permission denied",
  EADDRNOTAVAIL: "no such address on this host",
  ENOTFOUND: "unknown host name",
  ENOENT: "no such directory",
};

/**
 * Resolves once the server that `create` makes listens; `begin` is called before it accepts anyone.
 * Rejects with the address and the reason in the message.
 */
export async function bind(
  address: ListenAddress,
  backlog: number,
  create: () => net.Server,
  begin: (server: net.Server) => void,
): Promise<net.Server> {
  try {
    return await listen(address, backlog, create(), begin);
  } catch (error) {
    const reason = await retriable(address, error as NodeJS.ErrnoException);
    if (reason === "") return listen(address, backlog, create(), begin);
    throw cannotListen(address, reason, error);
  }
}

function cannotListen(address: ListenAddress, reason: string, cause: unknown): Error {
  return new Error(`cannot listen on ${addressText(address)}: ${reason}`, { cause });
}

/** The error of a port that cannot be bound, with its address and the reason in the message. */
export function bindError(address: ListenAddress, error: NodeJS.ErrnoException): Error {
  return cannotListen(address, FAULTS[error.code ?? ""] ?? error.message, error);
}

function listen(
  address: ListenAddress,
  backlog: number,
  server: net.Server,
  begin: (server: net.Server) => void,
): Promise<net.Server> {
  return new Promise((resolve, reject) => {
    const fault = "path" in address ? pathFault(address.path) : "";
    if (fault !== "") {
      reject(new Error(fault));
      return;
    }
    server.once("error", reject);
    server.listen({ ...address, backlog }, () => {
      server.removeAllListeners("error");
      begin(server);
      resolve(server);
    });
  });
}

/** Why another attempt would fail too, or "". */
async function retriable(address: ListenAddress, error: NodeJS.ErrnoException): Promise<string> {
  if ("path" in address && error.code === "EADDRINUSE") return removeStale(address.path);
  return FAULTS[error.code ?? ""] ?? error.message;
}

/** The address that the server is bound to. Of an inherited path Node knows only the descriptor. */
export function addressOf(server: net.Server, wanted: ListenAddress): SocketAddress {
  const bound = server.address() as net.AddressInfo | string | null;
  if (bound === null) return { path: addressText(wanted) };
  return typeof bound === "string" ? { path: bound } : { host: bound.address, port: bound.port };
}
