// TRANSPORT_RESET (virtio 5.10.6.7) in every state of a socket, and the event queue.
import { describe, expect, test } from "vitest";
import { Errno } from "../drivers/abi/errno.ts";
import { VsockOp } from "../drivers/abi/vsock.ts";
import { RINGS } from "./rings.ts";
import { type GuestOptions, socketGuests } from "./socket-guest.ts";
import { flow, stall } from "./socket-stall.ts";

const make = await socketGuests();

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test("V19, V20, V21, V22: after TRANSPORT_RESET the CID is new, connections are gone, listeners stay (Toro fault 25)", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    const reader = g.start("recv", socket, g.allocate(8), 8);
    g.sent();
    for (let i = 0; i < 20; i++) {
      g.device.config[0] = 40 + i;
      g.device.event(0);
    }
    expect(reader.result).toBe(-Errno.ECONNRESET);
    g.inject({ op: VsockOp.REQUEST, srcPort: 9, dstPort: 80, dstCid: 59 });
    expect(g.sent()).toMatchObject([{ op: VsockOp.RESPONSE, srcCid: 59 }]);
  });

  test("D13: TRANSPORT_RESET ends an attempt to connect, and a close that is going on", async () => {
    const g = await boot();
    const closing = g.accept(g.listen(80), 80, 7);
    g.now("close", closing);
    const socket = g.call("SysSocket", 1);
    const attempt = g.start("connect", socket, 2, 5000);
    g.sent();
    g.device.config[0] = 50;
    g.device.event(0);
    expect(attempt.result).toBe(-Errno.ECONNRESET);
    expect(g.call("liveSockets")).toBe(2); // the listener and the socket that may try again
    const again = g.start("connect", socket, 2, 5000);
    const [request] = g.sent();
    expect(request).toMatchObject({ op: VsockOp.REQUEST, srcCid: 50 });
    const dstPort = request!.srcPort;
    g.inject({ op: VsockOp.RESPONSE, srcPort: 5000, dstPort, dstCid: 50 });
    expect(again.result).toBe(0);
  });

  test("V21, V8: what is owed is forgotten, Closing ends, and nothing is sent with the old CID", async () => {
    const g = await boot({ queueSize: 16 });
    const listener = g.listen(80);
    const sockets = [7, 8, 9].map((srcPort) => g.accept(listener, 80, srcPort));
    stall(g);
    for (const socket of sockets) g.now("close", socket);
    g.device.config[0] = 4;
    g.device.event(0);
    // Left: two listeners, and the connection that filled the ring.
    expect(g.call("liveSockets")).toBe(3);
    flow(g);
    // V8: nothing goes out with the old CID but what the ring had.
    expect(g.sent()).toHaveLength(16);
  });
  //MORE
});
