// The host's sockets of each kind: what holds for one holds for the other.
import { NodeSockets, type SocketKind } from "../../host/node/sockets/node-sockets.ts";

/** For describe.each(). */
export const SOCKET_KINDS: readonly SocketKind[] = ["handles", "net"];

// From here on new sockets know what they can be.
await new NodeSockets({ kind: "handles" }).prepare();
