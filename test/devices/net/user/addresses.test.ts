// The addresses of a `user` network: ARP, ICMP echo, and which packets are taken at all.
import { describe, expect, test } from "vitest";
import { ARPOP_REPLY, ARPOP_REQUEST } from "../../../../abi/ethernet.ts";
import { ICMP_ECHOREPLY, IPPROTO_UDP } from "../../../../abi/ip.ts";
import { parseIp } from "../../../../host/devices/net/user/address.ts";
import { ManualClock } from "../../../../host/manual-clock.ts";
import {
  arp,
  BROADCAST,
  card,
  echo,
  frame,
  ipFrame,
  noise,
  parse,
  whoHas,
} from "../../../support/frames.ts";
import { NetPuppet } from "../../../support/net-puppet.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { udpDatagram } from "../../../support/transport-frames.ts";
import {
  GATEWAY,
  GATEWAY_MAC,
  GUEST,
  RESOLVER,
  RESOLVER_MAC,
  UserLab,
  userNetwork,
} from "../../../support/user-lab.ts";

describe.each(RING_KINDS)("a user network, rings of $name", (rings) => {
  const lab = (mtu?: number) =>
    new UserLab({ guest: { rings, ...(mtu === undefined ? {} : { mtu }) } });

  test("NB20: guests have 10.0.2.15, .16 and so on, and keep them", () => {
    const { network } = userNetwork();
    const clock = new ManualClock();
    const join = (n: number) => new NetPuppet({ network, clock, rings, mac: card(n) });
    const guests = [join(1), join(2), join(3)];
    const addresses = () => [1, 2, 3].map((n) => network.addressOf(card(n)));
    expect(addresses()).toEqual(["10.0.2.15", "10.0.2.16", "10.0.2.17"]);
    expect(guests.map(({ device }) => [device.mtu, device.hasLink])).toEqual(
      Array(3).fill([65520, true]),
    );
    expect(() => join(2)).toThrow(`net: MAC ${card(2)} is taken in this network`);
    guests[1]?.device.dispose();
    expect(addresses()).toEqual(["10.0.2.15", null, "10.0.2.17"]);
    join(4);
    join(2);
    expect(addresses()[1]).toBe("10.0.2.16");
    expect(network.addressOf(card(4))).toBe("10.0.2.18");
  });

  test("NB20: has 240 guests, and gives the address of one that left when there is no other", () => {
    const { network } = userNetwork();
    const clock = new ManualClock();
    const join = (n: number) =>
      new NetPuppet({ network, clock, rings, rxBuffers: 0, ringSize: 2, mac: card(n) });
    const guests = Array.from({ length: 240 }, (_, n) => join(n));
    expect(network.addressOf(card(239))).toBe("10.0.2.254");
    expect(() => join(250)).toThrow("net: a user network has 240 guests");
    guests[7]?.device.dispose();
    join(250);
    expect(network.addressOf(card(250))).toBe("10.0.2.22");
  });

  test("NB21: answers ARP for its own addresses only", () => {
    const { guest } = lab();
    const ask = (target: string) => guest.send(whoHas(target, GUEST, card(1)));
    ask(GATEWAY);
    ask(RESOLVER);
    for (const other of [GUEST, "10.0.2.1", "10.0.2.16", "8.8.8.8", "0.0.0.0"]) ask(other);
    const answers = guest.take().map(parse);
    expect(answers).toMatchObject([
      { kind: "arp", op: ARPOP_REPLY, sender: GATEWAY, senderMac: GATEWAY_MAC, from: GATEWAY_MAC },
      { kind: "arp", op: ARPOP_REPLY, sender: RESOLVER, senderMac: RESOLVER_MAC, to: card(1) },
    ]);
    expect(answers[0]).toMatchObject({ target: GUEST, targetMac: card(1) });
  });

  test("NB21: ignores ARP that is none, or no request", () => {
    const { guest } = lab();
    const request = { op: ARPOP_REQUEST, senderMac: card(1), sender: GUEST, target: GATEWAY };
    for (const at of [1, 3, 4, 5, 6]) guest.send(arp({ ...request, wrong: { [at]: 9 } }));
    guest.send(arp({ ...request, op: ARPOP_REPLY }));
    const whole = arp(request);
    for (let bytes = 14; bytes < whole.length; bytes++) guest.send(whole.subarray(0, bytes));
    expect(guest.take()).toEqual([]);
    guest.send(Buffer.concat([whole, Buffer.alloc(18)]));
    expect(guest.take()).toHaveLength(1);
  });

  test("NB21: answers echoes for its own addresses, of any length, and no others", () => {
    const one = lab();
    for (const bytes of [0, 1, 56, 1472, 65492]) {
      const data = noise(bytes, bytes);
      one.ip({
        destination: RESOLVER,
        to: RESOLVER_MAC,
        payload: echo({ id: 7, sequence: 9, data }),
      });
      const [answer] = one.guest.take().map(parse);
      const payload = echo({ type: ICMP_ECHOREPLY, id: 7, sequence: 9, data });
      expect(answer).toMatchObject({ kind: "ip", source: RESOLVER, destination: GUEST, payload });
    }
    const payload = echo({});
    for (const destination of ["8.8.8.8", "10.0.2.16", GUEST, "10.0.2.255"]) {
      one.ip({ destination, payload });
    }
    one.ip({ payload: echo({ type: 13 }) });
    one.ip({ payload: payload.subarray(0, 7) });
    payload[9] = (payload[9] as number) ^ 1;
    one.ip({ payload });
    expect(one.guest.take()).toEqual([]);
    expect(one.stats.dropped).toMatchObject({ protocol: 5, malformed: 1, checksum: 1 });
  });

  test("NB28: drops packets from another address than the guest's, and frames from another MAC", () => {
    const one = lab();
    const payload = echo({});
    for (const source of ["10.0.2.16", GATEWAY, "8.8.8.8", "0.0.0.0", "255.255.255.255"]) {
      one.ip({ source, payload });
    }
    one.ip({ from: card(2), payload });
    one.ip({ from: BROADCAST, payload });
    one.udp({ sourcePort: 1000, port: 53 }, { source: "10.0.2.16" });
    one.udp({ sourcePort: 1000, port: 53 }, { source: "0.0.0.0" });
    one.tcp({ flags: 2 }, { source: "10.0.2.16" });
    expect(one.guest.take()).toEqual([]);
    expect(one.stats.dropped.source).toBe(10);
    one.ip({ payload });
    expect(one.guest.take()).toHaveLength(1);
  });

  test("NB29: drops fragments, options, IPv6 and other types, and counts each kind", () => {
    const one = lab();
    const payload = echo({});
    for (const fragment of [0x2000, 1, 0x3fff, 0x1fff]) one.ip({ fragment, payload });
    one.ip({ options: Buffer.from([7, 4, 0, 0]), payload });
    one.ip({ options: Buffer.alloc(40), payload });
    for (const type of [0x86dd, 0x8100, 0x88cc, 0]) {
      one.guest.send(frame(GATEWAY_MAC, card(1), type, noise(60)));
    }
    for (const protocol of [0, 2, 47, 132, 255]) one.ip({ protocol, payload });
    expect(one.guest.take()).toEqual([]);
    expect(one.stats.dropped).toMatchObject({ fragment: 4, options: 2, ipv6: 1, protocol: 8 });
  });

  test("NB29: drops packets whose header cannot be", () => {
    const one = lab();
    const payload = echo({});
    const wrong = (fields: Readonly<Record<number, number>>) =>
      one.ip({ wrong: fields, sum: true, payload });
    wrong({ 0: 0x44 });
    wrong({ 0: 0x65 });
    wrong({ 2: 0, 3: 19 });
    wrong({ 2: 0, 3: 200 });
    one.guest.send(frame(GATEWAY_MAC, card(1), 0x0800, Buffer.alloc(0)));
    one.guest.send(frame(GATEWAY_MAC, card(1), 0x0800, noise(19)));
    expect(one.stats.dropped.malformed).toBe(6);
    one.ip({ wrong: { 10: 1 }, payload });
    expect(one.stats.dropped.checksum).toBe(1);
    expect(one.guest.take()).toEqual([]);
    one.ip({ padding: Buffer.alloc(18), payload });
    expect(one.guest.take()).toHaveLength(1);
  });

  test("NB28: frames for other machines are dropped: guests of one network do not meet", () => {
    const { network } = userNetwork();
    const clock = new ManualClock();
    const join = (n: number) => new NetPuppet({ network, clock, rings, mac: card(n) });
    const [a, b] = [join(1), join(2)];
    a.send(frame(card(2), card(1), 0x0800, noise(60)), whoHas("10.0.2.16", GUEST, card(1)));
    const addresses = { source: GUEST, destination: "10.0.2.16", from: card(1) };
    a.send(ipFrame({ ...addresses, to: GATEWAY_MAC, payload: echo({}) }));
    const datagram = udpDatagram(GUEST, "10.0.2.16", { sourcePort: 1, port: 2 });
    a.send(ipFrame({ ...addresses, to: BROADCAST, protocol: IPPROTO_UDP, payload: datagram }));
    expect([a.take(), b.take()]).toEqual([[], []]);
    expect(network.stats.dropped).toMatchObject({ foreign: 1, protocol: 1, closed: 1 });
  });

  test("NG12: a flood of ARP and echoes is answered within bounds", () => {
    const one = new UserLab({ guest: { rings, rxBuffers: 0 } });
    for (let i = 0; i < 1000; i++) {
      one.guest.send(whoHas(GATEWAY, GUEST, card(1)));
      one.ip({ payload: echo({ sequence: i }) });
      one.guest.tx.used();
    }
    expect(one.guest.device.waiting).toBe(256);
    expect(one.guest.device.stats.dropped.queueFull).toBe(2000 - 256);
  });
});

test("IPv4 addresses are four decimal numbers", () => {
  expect(["10.0.2.15", "0.0.0.0", "255.255.255.255"].map(parseIp)).toEqual([
    0x0a00020f, 0, 0xffffffff,
  ]);
  for (const text of [
    "",
    "1.2.3",
    "1.2.3.4.5",
    "256.1.1.1",
    "01.2.3.4",
    "a.b.c.d",
    "1.2.3.4 ",
    "::1",
  ]) {
    expect(parseIp(text), text).toBeNull();
  }
});
