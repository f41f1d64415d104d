// Events of a socket that concern nobody.
import type { SocketEvents } from "../sockets.ts";

export const NOBODY: SocketEvents = {
  connected() {},
  data() {},
  end() {},
  sent() {},
  failed() {},
  closed() {},
};
