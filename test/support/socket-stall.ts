// A device that takes no packets for a while, and a guest's books before and after that.
import { VsockOp } from "../../abi/vsock.ts";
import { DONTWAIT, type SocketGuest } from "./socket-guest.ts";

/** Fills the tx ring and the queue before it over a connection of its own. */
export function stall(g: SocketGuest): void {
  const socket = g.accept(g.listen(9999), 9999, 9999);
  const at = g.allocate(1);
  g.sent();
  g.device.consuming = false;
  for (let i = 0; i < 1000 && g.now("send", socket, at, 1, DONTWAIT) === 1; i++);
}

/** The device takes packets again, until it finds none. */
export function flow(g: SocketGuest): void {
  g.device.consuming = true;
  for (let last = -1; last !== g.device.sent.length; ) {
    last = g.device.sent.length;
    g.device.consume();
    g.device.signal();
    g.settle();
  }
}

/** Resources of the kernel when all time-outs are over: heap, sockets, loans, threads, timers. */
export function books(g: SocketGuest) {
  g.advance(10_000);
  return {
    blocks: g.call("heapBlocks"),
    sockets: g.call("liveSockets"),
    loans: g.call("loanCount"),
    threads: g.call("unfinished"),
    timers: g.clock.timers,
  };
}

/** Runs `round` until every table has grown, and then again: the books must not move. */
export function balanced(g: SocketGuest, round: (i: number) => void) {
  for (let i = 0; i < 3; i++) round(i);
  const before = books(g);
  for (let i = 3; i < 8; i++) round(i);
  return { before, after: books(g) };
}

/** Answers SHUTDOWN and whatever else of the guest, as a peer that is gone. */
export function hangUp(g: SocketGuest, srcPort: number, dstPort: number, fwdCnt = 0): void {
  g.inject({ op: VsockOp.RST, srcPort, dstPort, fwdCnt });
  g.sent();
}
