// Guests that break the rules towards the `user` network, by chance and on purpose: it survives,
// what it holds stays within bounds, and others are served.
import { describe, expect, test } from "vitest";
import { TH_ACK, TH_SYN } from "../../../../abi/tcp.ts";
import { card, echo, internetChecksum, ipFrame, noise, whoHas } from "../../../support/frames.ts";
import { PLAIN_RINGS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange } from "../../../support/tcp-peer.ts";
import { synOptions, tcpSegment, udpDatagram } from "../../../support/transport-frames.ts";
import { GATEWAY, GATEWAY_MAC, GUEST, UserLab } from "../../../support/user-lab.ts";

const create = () =>
  new UserLab({ allow: [5001, 5002], outbound: "any", guest: { rings: PLAIN_RINGS } });

/** One number after the other, by a seed. */
function dice(seed: number) {
  let bytes = noise(65536, seed);
  let at = 0;
  return (below: number): number => {
    if (at + 4 > bytes.length) {
      bytes = noise(65536, bytes.readUInt32BE(0) & 0xffff);
      at = 0;
    }
    at += 4;
    return bytes.readUInt32BE(at - 4) % below;
  };
}

const addresses = { source: GUEST, destination: GATEWAY, to: GATEWAY_MAC, from: card(1) };

/** A packet that is right, of one of the kinds that the network knows. */
function valid(roll: (below: number) => number): Buffer {
  const ports = { sourcePort: 50000 + roll(4), port: 5001 + roll(2) };
  const payload = noise(roll(200), roll(1000));
  switch (roll(5)) {
    case 0:
      return whoHas(GATEWAY, GUEST, card(1));
    case 1:
      return ipFrame({ ...addresses, payload: echo({ data: payload }) });
    case 2: {
      const datagram = udpDatagram(GUEST, GATEWAY, { ...ports, payload });
      return ipFrame({ ...addresses, protocol: 17, payload: datagram });
    }
    case 3: {
      const options = synOptions(roll(65536), roll(2) === 0 ? null : roll(256));
      const syn = { ...ports, flags: TH_SYN, seq: roll(2 ** 31), options };
      return ipFrame({ ...addresses, protocol: 6, payload: tcpSegment(GUEST, GATEWAY, syn) });
    }
    default: {
      const numbers = { seq: roll(2 ** 31), ack: roll(2 ** 31), window: roll(65536) };
      const segment = { ...ports, ...numbers, flags: roll(64), payload };
      return ipFrame({ ...addresses, protocol: 6, payload: tcpSegment(GUEST, GATEWAY, segment) });
    }
  }
}

/** One to three octets are others, or the end is missing; the IPv4 sum is right in half of them. */
function mutate(frame: Buffer, roll: (below: number) => number): Buffer {
  const bytes = roll(4) === 0 ? frame.subarray(0, 14 + roll(frame.length - 13)) : frame;
  for (let n = roll(3); n >= 0; n--) bytes[12 + roll(bytes.length - 12)] = roll(256);
  if (roll(2) === 0 && bytes.length >= 34) {
    bytes.writeUInt16BE(0, 24);
    bytes.writeUInt16BE(internetChecksum(bytes.subarray(14, 34)), 24);
  }
  return bytes;
}

describe("a hostile guest", () => {
  test.each([1, 2, 3, 4])("sends packets with mutations, seed %i", (seed) => {
    const lab = create();
    const roll = dice(seed);
    const { toGuest, toHost } = lab.workshop;
    const free = [toGuest.available, toHost.available];
    for (let n = 0; n < 5000; n++) {
      const frame = valid(roll);
      lab.guest.send(roll(3) === 0 ? frame : mutate(frame, roll));
      lab.guest.tx.used();
      const { socket } = lab.sockets.connects.at(-1) ?? {};
      if (socket !== undefined && socket.calls.length === 0) {
        if (roll(3) === 0) socket.events.connected();
        if (roll(9) === 0 && !socket.paused) socket.say(noise(roll(3000) + 1));
      }
      lab.guest.take();
      if (roll(50) === 0) lab.clock.advance(roll(2000));
    }
    expect(lab.stats.tcpFlows).toBeLessThanOrEqual(1024);
    expect(lab.stats.udpFlows).toBeLessThanOrEqual(256);
    lab.guest.device.dispose();
    for (const { socket } of lab.sockets.connects) socket.events.closed();
    expect(lab.stats).toMatchObject({ tcpFlows: 0, udpFlows: 0 });
    expect([toGuest.available, toHost.available]).toEqual(free);
    expect(lab.clock.timers).toBe(0);
  });

  test("NG1: sends packets of every kind, cut at every byte", () => {
    const lab = create();
    const roll = dice(9);
    for (let n = 0; n < 60; n++) {
      const frame = valid(roll);
      for (let bytes = 14; bytes < Math.min(frame.length, 120); bytes++) {
        lab.guest.send(frame.subarray(0, bytes));
        lab.guest.tx.used();
      }
      lab.guest.take();
    }
    expect(lab.stats.dropped.malformed).toBeGreaterThan(100);
  });

  test("acknowledges ahead, and in pieces, and shrinks its window: nothing more is sent for that", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab, { mss: 1460 });
    socket.say(noise(20_000));
    const segments = lab.segments();
    const first = peer.expected;
    for (let n = 1; n <= 1000; n++) lab.tcp({ flags: TH_ACK, seq: peer.next, ack: first + n });
    expect(lab.texts()).toEqual([]);
    lab.tcp({ flags: TH_ACK, seq: peer.next, ack: first + 30_000 });
    expect(lab.texts()).toEqual(["ACK"]);
    lab.tcp({ flags: TH_ACK, seq: peer.next, ack: first + 1460, window: 0 });
    expect([lab.texts(), socket.paused]).toEqual([[], true]);
    for (const segment of segments) peer.handle(segment);
    exchange(lab, [peer]);
    expect(peer.received.equals(noise(20_000))).toBe(true);
  });

  test("floods with SYNs from all ports: handshakes are bounded, and a connection goes on", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    for (let n = 0; n < 5000; n++) {
      lab.tcp({ sourcePort: 1024 + n, flags: TH_SYN, seq: n });
      lab.guest.take();
    }
    expect(lab.sockets.connects.length).toBe(129);
    peer.send(noise(5000));
    expect(socket.received.length).toBe(5000);
    lab.advance(10_000);
    const texts = Array.from({ length: 10 }, () => lab.texts()).flat();
    expect(texts.filter((text) => text === "RST ACK")).toHaveLength(128);
  });

  test("floods a connection with segments out of order: each gets one ACK, and none is kept", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    const { toHost } = lab.workshop;
    const free = toHost.available;
    lab.together(() => {
      for (let n = 1; n <= 64; n++) {
        const seq = peer.next + n * 1000;
        lab.tcp({ flags: TH_ACK, seq, ack: peer.expected, payload: noise(1000) });
      }
    });
    expect([lab.texts(), socket.sends, toHost.available]).toEqual([["ACK"], [], free]);
    expect(lab.stats.dropped.order).toBe(64);
  });
});
