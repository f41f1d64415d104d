// Streams by net.Socket: clients of a server, and connections.
import net from "node:net";
import {
  type Acceptor,
  addressText,
  NOBODY,
  type SocketAddress,
  type SocketEvents,
  type StreamSocket,
} from "../../ports/sockets.ts";
import type { Descriptors } from "./descriptors.ts";
import { NetStream } from "./net-stream.ts";
import { descriptorOf, handleOf } from "./undocumented.ts";
import { pathFault } from "./unix.ts";

const shortage = (descriptors: Descriptors, socket: net.Socket) =>
  descriptors.shortage(descriptorOf(handleOf(socket)));

export function acceptSockets(
  server: net.Server,
  tcp: boolean,
  descriptors: Descriptors,
  acceptor: Acceptor,
): void {
  server.on("connection", (socket) => {
    const error = shortage(descriptors, socket);
    if (error === null) {
      if (tcp) socket.setNoDelay(true);
      acceptor.accepted(new NetStream(socket, NOBODY, tcp));
      return;
    }
    socket.destroy();
    acceptor.refused(error);
  });
}

export function connectSocket(
  target: SocketAddress,
  descriptors: Descriptors,
  events: SocketEvents,
): StreamSocket {
  const options = { allowHalfOpen: true, noDelay: true };
  const tcp = "port" in target;
  const fault = tcp ? "" : pathFault(target.path);
  const socket = fault === "" ? net.connect({ ...target, ...options }) : new net.Socket(options);
  // Before the stream's own listener: a socket short of descriptors never counts as connected.
  socket.once("connect", () => {
    const error = shortage(descriptors, socket);
    if (error !== null) socket.destroy(error);
  });
  const stream = new NetStream(socket, events, tcp);
  if (fault !== "") socket.destroy(new Error(`${addressText(target)}: ${fault}`));
  return stream;
}
