// How connections of a `user` network end: each direction by itself, by a reset, and with the card.
import { describe, expect, test } from "vitest";
import { TH_ACK, TH_FIN, TH_RST, TH_SYN } from "../../../../abi/tcp.ts";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange, TcpPeer } from "../../../support/tcp-peer.ts";
import { segmentText } from "../../../support/transport-frames.ts";
import { UserLab, type UserLabOptions } from "../../../support/user-lab.ts";

describe.each(RING_KINDS)("the end of a connection, rings of $name", (rings) => {
  const create = (options: UserLabOptions = {}) =>
    new UserLab({ allow: [5001], ...options, guest: { rings, ...options.guest } });

  test("NB26: the guest ends first, and still hears of the host", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    peer.send(Buffer.from("question"));
    peer.end();
    exchange(lab, [peer]);
    expect([`${socket.received}`, socket.calls, peer.hasEnded]).toEqual([
      "question",
      ["end"],
      false,
    ]);
    const answer = noise(200_000, 1);
    socket.say(answer);
    exchange(lab, [peer]);
    while (socket.deliver() > 0) exchange(lab, [peer]);
    expect(peer.received.equals(answer)).toBe(true);
    socket.events.end();
    socket.events.closed();
    exchange(lab, [peer]);
    expect([peer.hasEnded, socket.calls, lab.stats.tcpFlows]).toEqual([true, ["end"], 0]);
    lab.advance(60_000);
    expect([lab.texts(), lab.clock.timers]).toEqual([[], 0]);
  });

  test("NB26: the host ends first, and still hears of the guest", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.say("hello");
    socket.events.end();
    exchange(lab, [peer]);
    expect([`${peer.received}`, peer.hasEnded, socket.calls]).toEqual(["hello", true, []]);
    const question = noise(300_000, 1);
    peer.send(question);
    exchange(lab, [peer]);
    peer.end();
    exchange(lab, [peer]);
    expect([socket.received.equals(question), socket.calls]).toEqual([true, ["end"]]);
    socket.events.closed();
    expect([lab.stats.tcpFlows, lab.stats.ended.reset, lab.texts()]).toEqual([0, 0, []]);
  });

  test("NB26: both end at once", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.events.end();
    peer.end();
    exchange(lab, [peer]);
    expect([peer.hasEnded, peer.isReset, socket.calls]).toEqual([true, false, ["end"]]);
    socket.events.closed();
    expect(lab.stats.tcpFlows).toBe(0);
  });

  test("NB26: an end is sent again when it is lost, and acknowledged again", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.say("x");
    socket.events.end();
    expect(lab.texts()).toEqual(["PSH ACK 1", "ACK FIN".split(" ").reverse().join(" ")]);
    lab.advance(200);
    const again = lab.segments();
    expect(again.map(segmentText)).toEqual(["FIN PSH ACK 1"]);
    for (const segment of again) peer.handle(segment);
    exchange(lab, [peer]);
    peer.finish();
    expect([peer.hasEnded, `${peer.received}`]).toEqual([true, "x"]);
    const fin = { flags: TH_FIN | TH_ACK, seq: peer.next, ack: peer.expected };
    lab.tcp(fin);
    expect(lab.texts()).toEqual(["ACK"]);
  });

  test("NB26: the end waits for the bytes before it, on a host that reads slowly", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.taking = false;
    const bytes = noise(150_000, 1);
    peer.send(bytes);
    peer.end();
    exchange(lab, [peer]);
    expect(socket.calls).toEqual([]);
    socket.events.end();
    exchange(lab, [peer]);
    expect([peer.hasEnded, lab.stats.tcpFlows]).toEqual([true, 1]); // its socket is still there
    socket.take();
    expect([socket.received.equals(bytes), socket.calls]).toEqual([true, ["end"]]);
    socket.events.closed();
    expect(lab.stats.tcpFlows).toBe(0);
  });

  /** A client of a published port that has been told to end, to a guest that has said all. */
  const drained = async () => {
    const lab = create();
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const client = lab.sockets.client();
    const [syn = fail()] = lab.segments();
    const peer = new TcpPeer(lab, { port: 80 });
    peer.handle(syn);
    exchange(lab, [peer]);
    const ended = lab.network.drain(0);
    exchange(lab, [peer]);
    expect(peer.hasEnded).toBe(true);
    return { lab, client, peer, ended };
  };

  test("NB26: a client that never ends is left two seconds after the guest has", async () => {
    const { lab, client, peer, ended } = await drained();
    peer.send(Buffer.from("bye"));
    peer.end();
    exchange(lab, [peer]);
    client.say(noise(100_000, 1)); // crosses the end, and is dropped
    lab.advance(1999);
    expect([`${client.received}`, client.calls, client.unread.length]).toEqual(["bye", ["end"], 0]);
    lab.advance(1);
    expect([client.calls, lab.stats.tcpFlows]).toEqual([["end", "close"], 1]);
    client.events.closed();
    lab.advance(100);
    await ended;
    expect([lab.stats.tcpFlows, lab.clock.timers, lab.texts()]).toEqual([0, 0, []]);
  });

  test("NB26: a client that reads slowly is waited for, and one that does not is reset", async () => {
    const { lab, client, peer } = await drained();
    client.taking = false;
    Object.assign(client, { unsent: 1000 });
    peer.send(noise(1000));
    peer.end();
    exchange(lab, [peer]);
    for (const unsent of [900, 800, 700]) {
      lab.advance(30_000);
      expect(client.calls).toEqual([]);
      Object.assign(client, { unsent });
    }
    lab.advance(30_000);
    expect(client.calls).toEqual([]);
    lab.advance(30_000);
    expect(client.calls).toEqual(["reset"]);
  });

  test("NB26: bytes that the guest has not taken outlive the host's socket", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab, { buffer: 65535, shift: 0 });
    peer.isReading = false;
    peer.end();
    const bytes = noise(60_000, 1);
    socket.say(bytes);
    socket.events.end();
    socket.events.closed();
    expect(lab.stats.tcpFlows).toBe(1);
    exchange(lab, [peer]);
    expect([peer.received.equals(bytes), peer.hasEnded, peer.isReset]).toEqual([true, true, false]);
    expect(lab.stats.tcpFlows).toBe(0);
  });

  test("NB26: an error of the host's socket is RST to the guest", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.say("hello");
    socket.fail();
    const segments = lab.segments();
    expect(segments.map(segmentText)).toEqual(["PSH ACK 5", "RST ACK"]);
    expect(segments[1]).toMatchObject({ seq: (peer.expected + 5) >>> 0, ack: peer.next });
    expect(lab.stats).toMatchObject({ tcpFlows: 0, ended: { byHost: 1 } });
    lab.tcp({ flags: TH_ACK, seq: peer.next, ack: peer.expected });
    expect(lab.texts()).toEqual(["RST"]);
  });

  test("NB26: RST of the guest resets the host's socket", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    peer.reset();
    expect([socket.calls, lab.texts(), lab.stats.ended.byGuest]).toEqual([["reset"], [], 1]);
    socket.events.closed();
    expect([lab.stats.tcpFlows, lab.clock.timers]).toEqual([0, 0]);
  });

  test("NB26: RST and SYN that do not fit are answered by ACK, and change nothing", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    for (const flags of [TH_RST, TH_RST | TH_ACK, TH_SYN, TH_SYN | TH_ACK]) {
      lab.tcp({ flags, seq: peer.next + 1, ack: peer.expected });
      expect(lab.segments()).toMatchObject([{ flags: TH_ACK, ack: peer.next }]);
    }
    lab.tcp({ flags: TH_ACK, seq: peer.next, ack: peer.expected + 1 }); // of what was never sent
    expect(lab.segments()).toMatchObject([{ flags: TH_ACK, ack: peer.next, seq: peer.expected }]);
    lab.tcp({ flags: TH_FIN, seq: peer.next });
    lab.tcp({ flags: 0, seq: peer.next, payload: noise(5) });
    expect([lab.texts(), socket.calls]).toEqual([[], []]);
    peer.send(Buffer.from("still here"));
    expect(`${socket.received}`).toBe("still here");
  });

  test("NB26: while the host connects, RST of the guest ends that", () => {
    const lab = create();
    lab.tcp({ flags: TH_SYN, seq: 7 });
    lab.tcp({ flags: TH_RST, seq: 9 });
    const [{ socket } = fail()] = lab.sockets.connects;
    expect(socket.calls).toEqual([]);
    lab.tcp({ flags: TH_RST, seq: 8 });
    expect([socket.calls, lab.clock.timers]).toEqual([["reset"], 0]);
    socket.events.connected(); // too late
    expect(lab.texts()).toEqual([]);
  });

  test("a reset of the device ends all flows, and the guest hears of none", async () => {
    const lab = create({ outbound: "any" });
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const { socket } = connectPeer(lab);
    lab.tcp({ flags: TH_SYN, sourcePort: 50001 });
    const client = lab.sockets.client();
    lab.udp({ sourcePort: 1, port: 9, payload: noise(3) }, { destination: "9.9.9.9" });
    socket.taking = false;
    lab.segments();
    lab.guest.device.reset();
    expect([socket.calls, lab.sockets.connects[1]?.socket.calls, client.calls]).toEqual(
      Array(3).fill(["reset"]),
    );
    expect(lab.datagrams.sockets[0]?.isClosed).toBe(true);
    for (const one of [socket, client, lab.sockets.connects[1]?.socket ?? fail()]) {
      one.events.failed(new Error("late"));
      one.events.closed();
    }
    expect([lab.stats.tcpFlows, lab.stats.udpFlows, lab.clock.timers]).toEqual([0, 0, 0]);
    lab.guest.boot();
    expect(lab.guest.take()).toEqual([]);
    expect(lab.sockets.closedListeners).toBe(0);
    const { peer } = connectPeer(lab, { port: 50009 });
    expect(peer.isOpen).toBe(true);
  });

  test("the end of the machine closes listeners and flows; late events do nothing", async () => {
    const lab = create();
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const { peer, socket } = connectPeer(lab);
    socket.taking = false;
    peer.send(noise(1000));
    socket.say(noise(1000));
    lab.guest.device.dispose();
    expect([socket.calls, lab.sockets.closedListeners]).toEqual([["reset"], 1]);
    socket.deliver();
    socket.events.sent();
    socket.events.end();
    socket.events.closed();
    const late = lab.sockets.client();
    expect([late.calls, lab.stats.tcpFlows, lab.clock.timers]).toEqual([["reset"], 0, 0]);
  });

  test("all slabs come back, however connections end", () => {
    const lab = create();
    const { toGuest, toHost } = lab.workshop;
    const free = [toGuest.available, toHost.available];
    for (let n = 0; n < 12; n++) {
      const { peer, socket } = connectPeer(lab, { port: 50000 + n });
      socket.taking = false;
      peer.send(noise(200_000, n));
      socket.say(noise(200_000, n));
      lab.segments();
      if (n % 4 === 0) peer.reset();
      else if (n % 4 === 1) socket.events.failed(new Error("broken"));
      else if (n % 4 === 2) lab.guest.device.reset();
      else lab.advance(60_000);
      if (n % 4 === 2) lab.guest.boot();
      expect(toHost.available).toBeLessThan(free[1] as number);
      socket.events.closed();
      lab.segments();
    }
    expect([toGuest.available, toHost.available]).toEqual(free);
    expect(lab.stats.tcpFlows).toBe(0);
  });
});

function fail(): never {
  throw new Error("it is not there");
}
