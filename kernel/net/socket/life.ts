// How sockets are made and freed.
import { NEVER } from "../../clock";
import { ToroAllocMem, ToroFreeMem } from "../../memory";
import { reserveTimer, stopTimer, unreserveTimer } from "../../timer";
import { closeWindow, WINDOW_MIN } from "./credit";
import { settleAll } from "./owed";
import { dropReceived } from "./receive-queue";
import { UNBOUNDED } from "./send-buffer";
import { sendMode, windowMax } from "./settings";
import {
  isSeqpacket,
  isVsock,
  NO_SOCKET,
  owingOf,
  pendingOf,
  Socket,
  SOCKET_BYTES,
  SocketState,
  timerOf,
  wakeSleepers,
} from "./socket";
import { removeHandle, unhash } from "./table";
import { destroyTransport, openTransport, transportBytes } from "./transport";
import { abandonUserBuffers } from "./zerocopy";

/** Linux: VSOCK_DEFAULT_CONNECT_TIMEOUT. */
const CONNECT_TIMEOUT_NS: u64 = 2_000_000_000;

let socketsAlive: u32 = 0;

/** Sockets alive, including those that the application has closed and the peer has not. */
export function socketCount(): u32 {
  return socketsAlive;
}

/** A new socket without a handle; NO_SOCKET: no memory. `type` as in Socket. */
export function createSocket(protocol: u32, type: u32): Socket {
  const address = ToroAllocMem(SOCKET_BYTES + transportBytes(protocol));
  if (address == 0) return NO_SOCKET;
  if (reserveTimer() < 0) {
    ToroFreeMem(address);
    return NO_SOCKET;
  }
  socketsAlive++;
  const s = changetype<Socket>(address);
  assert(s.state == SocketState.Created, "not zeroed");
  s.protocol = protocol;
  s.type = type;
  s.receiveTimeoutNs = NEVER;
  s.sendTimeoutNs = NEVER;
  s.connectTimeoutNs = CONNECT_TIMEOUT_NS;
  s.receiveLeast = 1;
  s.sendLeast = 1;
  s.sendMode = sendMode;
  s.sendBuffer = UNBOUNDED;
  // A message that is larger than the window can never be sent, so none waits for it to grow.
  s.windowFirst = isSeqpacket(s) ? windowMax : min(WINDOW_MIN, windowMax);
  s.windowMax = windowMax;
  timerOf(s).arg = address;
  owingOf(s).object = address;
  pendingOf(s).object = address;
  if (isVsock(s) || openTransport(s) == 0) return s;
  destroySocket(s);
  return NO_SOCKET;
}

/** Frees the socket and all that it holds. Threads that wait for it find the handle gone. */
export function destroySocket(s: Socket): void {
  assert(s.listener == null && s.pending == 0, "in a list");
  removeHandle(s);
  unhash(s);
  stopTimer(timerOf(s));
  unreserveTimer();
  settleAll(s);
  if (!isVsock(s)) destroyTransport(s);
  abandonUserBuffers(s);
  dropReceived(s);
  closeWindow(s);
  wakeSleepers(s);
  assert(socketsAlive != 0, "wrong count");
  socketsAlive--;
  ToroFreeMem(changetype<usize>(s));
}
