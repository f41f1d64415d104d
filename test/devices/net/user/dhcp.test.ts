// The DHCP server of a `user` network (NB21), message by message.
import { describe, expect, test } from "vitest";
import { DhcpMessage } from "../../../../abi/dhcp.ts";
import { BROADCAST, card, ip, mac, noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { GATEWAY, GATEWAY_MAC, GUEST, RESOLVER, UserLab } from "../../../support/user-lab.ts";

interface Message {
  type?: number;
  op?: number;
  xid?: number;
  flags?: number;
  client?: string;
  hardware?: string;
  cookie?: number;
  options?: readonly (readonly [number, Uint8Array])[];
  /** In place of all options. */
  raw?: Uint8Array;
}

function message(m: Message): Buffer {
  const b = Buffer.alloc(240);
  b.set([m.op ?? 1, 1, 6, 0]);
  b.writeUInt32BE(m.xid ?? 0xdecafbad, 4);
  b.writeUInt16BE(m.flags ?? 0, 10);
  ip(m.client ?? "0.0.0.0").copy(b, 12);
  mac(m.hardware ?? card(1)).copy(b, 28);
  b.writeUInt32BE(m.cookie ?? 0x63825363, 236);
  const typed = m.type === undefined ? [] : [[53, Uint8Array.of(m.type)] as const];
  const options = [...typed, ...(m.options ?? [])].map(([code, value]) =>
    Buffer.from([code, value.length, ...value]),
  );
  return Buffer.concat([b, m.raw ?? Buffer.concat([...options, Buffer.from([255])])]);
}

function parseReply(b: Buffer) {
  const options: Record<number, string> = {};
  for (let at = 240; b[at] !== 255; at += 2 + (b[at + 1] as number)) {
    options[b[at] as number] = b.subarray(at + 2, at + 2 + (b[at + 1] as number)).toString("hex");
  }
  const dotted = (at: number) => b.subarray(at, at + 4).join(".");
  return {
    op: b[0],
    xid: b.readUInt32BE(4),
    flags: b.readUInt16BE(10),
    client: dotted(12),
    yours: dotted(16),
    hardware: b.subarray(28, 34).toString("hex"),
    options,
  };
}

const address = (text: string) => Uint8Array.from(ip(text));
const hex = (text: string) => ip(text).toString("hex");

describe.each(RING_KINDS)("its DHCP server, rings of $name", (rings) => {
  function ask(
    m: Message,
    { source = "0.0.0.0", destination = "255.255.255.255", to = BROADCAST } = {},
    lab = new UserLab({ guest: { rings } }),
  ) {
    const fields = { sourcePort: 68, port: 67, payload: message(m) };
    lab.udp(fields, { source, destination, to });
    const [answer, ...others] = lab.datagramsTaken();
    expect(others).toEqual([]);
    if (answer === undefined) return null;
    expect(answer).toMatchObject({ source: GATEWAY, sourcePort: 67, port: 68, isSound: true });
    return { ...parseReply(answer.payload), destination: answer.destination };
  }

  const LEASE = {
    1: hex("255.255.255.0"),
    3: hex(GATEWAY),
    6: hex(RESOLVER),
    26: "fff0",
    51: "00015180",
    54: hex(GATEWAY),
  };

  test("NB21: offers the guest its address, with mask, router, resolver, MTU and lease", () => {
    expect(ask({ type: DhcpMessage.DISCOVER })).toEqual({
      ...{ op: 2, xid: 0xdecafbad, flags: 0, client: "0.0.0.0", yours: GUEST },
      ...{ hardware: "02746f000001", destination: GUEST, options: { ...LEASE, 53: "02" } },
    });
  });

  test("NB21: gives it to whoever asks for it, by the option or the header", () => {
    const acknowledged = { yours: GUEST, options: { ...LEASE, 53: "05" } };
    const requested = [50, address(GUEST)] as const;
    const server = [54, address(GATEWAY)] as const;
    const type = DhcpMessage.REQUEST;
    expect(ask({ type, options: [requested, server] })).toMatchObject(acknowledged);
    expect(ask({ type, options: [requested] })).toMatchObject(acknowledged);
    const renewal = ask(
      { type, client: GUEST },
      { source: GUEST, destination: GATEWAY, to: GATEWAY_MAC },
    );
    expect(renewal).toMatchObject({ ...acknowledged, client: GUEST, destination: GUEST });
  });

  test("NB21: answers to all where the guest asks for that", () => {
    const flags = 0x8000;
    expect(ask({ type: DhcpMessage.DISCOVER, flags })).toMatchObject({
      ...{ flags, destination: "255.255.255.255", yours: GUEST },
    });
    const renewal = { type: DhcpMessage.REQUEST, flags, client: GUEST };
    expect(ask(renewal, { source: GUEST })).toMatchObject({ destination: GUEST });
  });

  test("NB21: refuses any other address, and ignores what another server is asked for", () => {
    const type = DhcpMessage.REQUEST;
    for (const other of ["10.0.2.16", "192.168.1.2", "255.255.255.255"]) {
      const answer = ask({ type, options: [[50, address(other)]] });
      const nak = { yours: "0.0.0.0", destination: "255.255.255.255" };
      expect(answer).toMatchObject({ ...nak, options: { 53: "06", 54: hex(GATEWAY) } });
      expect(Object.keys(answer?.options ?? {})).toHaveLength(2);
    }
    expect(ask({ type })).toMatchObject({ options: { 53: "06" } });
    const elsewhere = [54, address("10.0.2.1")] as const;
    expect(ask({ type, options: [[50, address(GUEST)], elsewhere] })).toBeNull();
  });

  test("NB21: informs without giving a lease", () => {
    const answer = ask({ type: DhcpMessage.INFORM, client: GUEST }, { source: GUEST });
    const { 51: _, ...rest } = LEASE;
    expect(answer).toMatchObject({ yours: "0.0.0.0", client: GUEST });
    expect(answer?.options).toEqual({ ...rest, 53: "05" });
  });

  test("NB21: says the MTU of the card", () => {
    const lab = new UserLab({ guest: { rings, mtu: 1400 } });
    expect(ask({ type: DhcpMessage.DISCOVER }, {}, lab)?.options[26]).toBe("0578");
  });

  test("NG12: has nothing to forget: releases, declines and a thousand requests change nothing", () => {
    const lab = new UserLab({ guest: { rings } });
    for (const type of [0, 2, DhcpMessage.DECLINE, 5, 6, DhcpMessage.RELEASE, 9, 255]) {
      expect(ask({ type }, {}, lab)).toBeNull();
    }
    for (let i = 0; i < 1000; i++) {
      const low = Buffer.from([i >> 8, i & 255])
        .toString("hex")
        .replace(/(..)(..)/, "$1:$2");
      const hardware = `02:00:00:00:${low}`;
      expect(ask({ type: DhcpMessage.DISCOVER, hardware }, {}, lab)).toBeNull();
    }
    expect(ask({ type: DhcpMessage.DISCOVER }, {}, lab)).toMatchObject({ yours: GUEST });
    expect(lab.stats.udpFlows).toBe(0);
  });

  test("NG12: ignores messages that are none", () => {
    expect(ask({ type: 1, op: 2 })).toBeNull();
    expect(ask({ type: 1, cookie: 0x63825362 })).toBeNull();
    expect(ask({})).toBeNull();
    expect(ask({ raw: Buffer.alloc(0) })).toBeNull();
    expect(ask({ raw: Buffer.from([53]) })).toBeNull();
    expect(ask({ raw: Buffer.from([53, 1]) })).toBeNull();
    expect(ask({ raw: Buffer.from([53, 2, 1, 1, 255]) })).toBeNull();
    expect(ask({ raw: Buffer.from([0, 0, 61, 255, 53, 1, 1]) })).toBeNull();
    expect(ask({ raw: Buffer.from([255, 53, 1, 1]) })).toBeNull();
    expect(ask({ raw: Buffer.from([0, 0, 53, 1, 1]) })).toMatchObject({ yours: GUEST });
  });

  test("NG12: survives messages of any length and content", () => {
    const lab = new UserLab({ guest: { rings } });
    const whole = message({ type: 1 });
    const to = { source: "0.0.0.0", destination: "255.255.255.255", to: BROADCAST };
    for (let bytes = 0; bytes < 240; bytes++) {
      lab.udp({ sourcePort: 68, port: 67, payload: whole.subarray(0, bytes) }, to);
    }
    expect(lab.datagramsTaken()).toEqual([]);
    for (let seed = 0; seed < 300; seed++) {
      const payload = Buffer.concat([whole.subarray(0, 240), noise(seed, seed)]);
      lab.udp({ sourcePort: 68, port: 67, payload }, to);
      lab.guest.take();
    }
    expect(lab.stats.dropped.malformed).toBe(0);
    expect(ask({ type: 1 }, {}, lab)).toMatchObject({ yours: GUEST });
  });
});
