// Paths of AF_UNIX: their maximum length, and removal of stale socket files.
import { lstatSync, unlinkSync } from "node:fs";
import net from "node:net";

/** sun_path holds the path and a NUL. A longer path would be cut off silently. */
const PATH_BYTES_MAX = process.platform === "linux" ? 107 : 103;

/** The fault in the path, or "". */
export function pathFault(path: string): string {
  if (path === "" || path.includes("\0")) return "not a path";
  return Buffer.byteLength(path) > PATH_BYTES_MAX
    ? `longer than the ${PATH_BYTES_MAX} bytes that a socket may have`
    : "";
}

/**
 * Removes the socket file of a process that is gone. Resolves to "", or to the reason why not: only
 * sockets are removed, and only if nobody listens on them.
 */
export async function removeStale(path: string): Promise<string> {
  try {
    if (!lstatSync(path).isSocket()) return "a file is there that is not a socket";
    if (await answers(path)) return "the address is in use";
    unlinkSync(path);
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

/** Only a refusal proves that nobody listens. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ path });
    socket.on("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", (error: NodeJS.ErrnoException) => resolve(error.code !== "ECONNREFUSED"));
  });
}
