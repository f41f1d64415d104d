// passt (https://passt.top) as the network of a card: a process of its own, which speaks frames
// over a pair of sockets that it inherits, and lives as long as the card.
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:net";
import { StreamNetwork } from "../../node/devices.ts";
import { NetStream } from "../../node/sockets/net-stream.ts";
import type { Sockets } from "../../ports/sockets.ts";
import { CliError, EXIT_UNAVAILABLE } from "../usage.ts";

/** Of the child: its end of the pair. */
const FRAMES_FD = 3;
/** In the foreground, for one guest, IPv4 alone, with no port of the host. */
const ARGUMENTS = ["-f", "-q", "-1", "-4", "-t", "none", "-u", "none", "-F", `${FRAMES_FD}`];

/** Rejects with CliError if it cannot be started. It ends when the network is closed. */
export async function openPasst(ended: (reason: string) => void): Promise<StreamNetwork> {
  const child = spawn("passt", ARGUMENTS, { stdio: ["ignore", "ignore", "pipe", "pipe"] });
  let said = "";
  child.stderr?.on("data", (text: Buffer) => {
    said = `${said}${text}`.slice(-1000);
  });
  await started(child);
  child.once("exit", () => {
    const last = said.trimEnd().split("\n").at(-1);
    if (last) ended(`passt: ${last}`);
  });
  const network = await StreamNetwork.open({
    sockets: pairOf(child),
    address: { path: "passt" },
    ended,
  });
  return network;
}

function started(child: ChildProcess): Promise<void> {
  return new Promise((resolve, reject) => {
    child.once("spawn", resolve);
    child.once("error", (error: NodeJS.ErrnoException) => {
      const isMissing = error.code === "ENOENT";
      const reason = isMissing ? "it is not installed, or not in the path" : error.message;
      reject(new CliError(`--net passt: passt cannot be started: ${reason}`, EXIT_UNAVAILABLE));
    });
  });
}

/** Sockets whose one connection is the pair with the child, which ends with it. */
function pairOf(child: ChildProcess): Sockets {
  return {
    listen: () => Promise.reject(new Error("a pair of sockets does not listen")),
    connect: (_, events) => {
      const socket = child.stdio[FRAMES_FD] as Socket;
      socket.once("close", () => void child.kill());
      process.nextTick(() => stream.events.connected());
      const stream = new NetStream(socket, events, false);
      return stream;
    },
  };
}
