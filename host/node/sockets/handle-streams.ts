// Streams on handles: clients of a server, and connections.
import net from "node:net";
import type { Acceptor, SocketAddress, SocketEvents, StreamSocket } from "../../ports/sockets.ts";
import type { Descriptors } from "./descriptors.ts";
import { HandleStream, uvError } from "./handle-stream.ts";
import { binding, descriptorOf, takeClients } from "./undocumented.ts";
import { pathFault } from "./unix.ts";

/** Of a server that listens, and has accepted nobody yet. */
export function acceptHandles(
  server: net.Server,
  tcp: boolean,
  descriptors: Descriptors,
  acceptor: Acceptor,
): void {
  const listener = takeClients(server, (status, client) => {
    if (client === undefined) {
      acceptor.refused(uvError(status, "accept"));
      return;
    }
    const error = descriptors.shortage(descriptorOf(client));
    if (error === null) {
      acceptor.accepted(new HandleStream(client, tcp, true));
      return;
    }
    client.close(nothing);
    acceptor.refused(error);
  });
  // Linux and the BSDs hand it on to clients, without a system call for each.
  if (tcp) listener.setNoDelay?.(true);
}

function nothing(): void {}

/** Can handles connect to it? Names are looked up and tried in turn by net.Socket alone. */
export function isDirect(target: SocketAddress): boolean {
  return "port" in target ? net.isIP(target.host) !== 0 : pathFault(target.path) === "";
}

/** Of a target that isDirect(). */
export function connectHandle(
  target: SocketAddress,
  descriptors: Descriptors,
  events: SocketEvents,
): StreamSocket {
  const { TCP, tcpSocket, TCPConnectWrap, Pipe, pipeSocket, PipeConnectWrap } = binding();
  const tcp = "port" in target;
  const handle = tcp ? new TCP(tcpSocket) : new Pipe(pipeSocket);
  const stream = new HandleStream(handle, tcp, false);
  stream.events = events;
  stream.connect(new (tcp ? TCPConnectWrap : PipeConnectWrap)(), (request) => {
    if (!tcp) return handle.connect(request, target.path);
    if (net.isIPv4(target.host)) return handle.connect(request, target.host, target.port);
    return handle.connect6?.(request, target.host, target.port) ?? 0;
  });
  const error = descriptors.shortage(descriptorOf(handle));
  if (error !== null) process.nextTick(() => stream.break(error));
  return stream;
}
