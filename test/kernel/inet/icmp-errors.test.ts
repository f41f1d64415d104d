// Errors by ICMP that the guest gets (TC9): what it makes of them, and what it does not believe.
import { describe, expect, test } from "vitest";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "../../../abi/ip.ts";
import {
  card,
  echo,
  type Ip,
  internetChecksum,
  ipFrame,
  noise,
  whoHas,
} from "../../support/frames.ts";
import { type NetGuest, type NetGuestOptions, netGuests } from "../../support/net-guest.ts";
import { Endpoint, udpFrame } from "../../support/udp.ts";

const make = await netGuests();
const NET = 0;
const HOST = 1;
const PROTOCOL = 2;
const PORT = 3;
const TOO_LONG = 4;
const TIME = 5;

/** A guest that keeps errors about TCP. */
async function boot(options: NetGuestOptions = {}) {
  const g = await make(options);
  g.call("watchErrors");
  g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
  g.sent();
  return g;
}

/** Source port, destination port, sequence number. */
const SEGMENT = Buffer.from([0x12, 0x34, 0, 80, 0xde, 0xad, 0xbe, 0xef]);

interface Quote extends Partial<Ip> {
  readonly transport?: Uint8Array;
}

/** The packet of the guest that an error is about. */
const quoted = (q: Quote = {}): Buffer =>
  ipFrame({
    source: "10.0.0.1",
    destination: "192.0.2.7",
    protocol: IPPROTO_TCP,
    payload: q.transport ?? SEGMENT,
    ...q,
  }).subarray(14);

/** A message of ICMP: its header, and then `about`. */
function error(type: number, code: number, about: Uint8Array, rest = 0): Buffer {
  const bytes = Buffer.concat([Buffer.from([type, code, 0, 0, 0, 0, 0, 0]), about]);
  bytes.writeUInt32BE(rest, 4);
  bytes.writeUInt16BE(internetChecksum(bytes), 2);
  const fields = { to: card(1), from: card(2), source: "10.0.0.2", destination: "10.0.0.1" };
  return ipFrame({ ...fields, payload: bytes });
}

/** As in IcmpError of the guest. */
function last(g: NetGuest) {
  const at = g.call("errorAddress") >>> 0;
  const word = (i: number) => g.machine.memory.view.getUint32(at + i * 4, true);
  const [kind, mtu, localPort, remotePort] = [word(0), word(1), word(2), word(3)];
  return { kind, mtu, localPort, remotePort, local: word(4), remote: word(5), sequence: word(6) };
}

describe("TC9: an error about a packet of the guest", () => {
  test("says where the packet went, and which one it was", async () => {
    const g = await boot();
    g.inject(error(3, 1, quoted()));
    expect(last(g)).toEqual({
      kind: HOST,
      mtu: 0,
      localPort: 0x1234,
      remotePort: 80,
      local: 0x0a000001,
      remote: 0xc0000207,
      sequence: 0xdeadbeef,
    });
  });

  test.each([
    [3, 0, NET],
    [3, 1, HOST],
    [3, 2, PROTOCOL],
    [3, 3, PORT],
    [3, 4, TOO_LONG],
    [3, 5, HOST],
    [3, 6, NET],
    [3, 7, HOST],
    [3, 9, NET],
    [3, 10, HOST],
    [3, 11, NET],
    [3, 12, HOST],
    [3, 13, HOST],
    [3, 255, HOST],
    [11, 0, TIME],
    [11, 1, TIME],
    [11, 4, TIME],
  ])("of type %i, code %i is of its kind", async (type, code, kind) => {
    const g = await boot();
    g.inject(error(type, code, quoted()));
    expect([g.call("errorCount"), last(g).kind]).toEqual([1, kind]);
  });

  test("NP10: names the MTU if it is too long, whatever that is, and no other does", async () => {
    const g = await boot();
    for (const mtu of [1400, 0, 68, 65_535]) {
      g.inject(error(3, 4, quoted(), mtu));
      expect(last(g).mtu).toBe(mtu);
    }
    g.inject(error(11, 4, quoted(), 1400));
    expect(last(g).mtu).toBe(0);
  });

  test("may quote options, and more than eight bytes", async () => {
    const g = await boot();
    const options = Uint8Array.from([1, 1, 1, 0]);
    g.inject(error(3, 1, quoted({ options, payload: Buffer.concat([SEGMENT, noise(500)]) })));
    expect(last(g)).toMatchObject({ localPort: 0x1234, sequence: 0xdeadbeef });
  });

  test("is not believed if it quotes too little, or no packet of ours", async () => {
    const g = await boot();
    const whole = quoted();
    for (let bytes = 0; bytes < whole.length; bytes++) {
      g.inject(error(3, 1, whole.subarray(0, bytes)));
    }
    const wrong: Quote[] = [
      { source: "10.0.0.2" },
      { source: "127.0.0.1" },
      { fragment: 1 },
      { wrong: { 0: 0x65 } },
      { wrong: { 0: 0x44 } },
      { wrong: { 0: 0x4f } },
      { options: new Uint8Array(40), payload: SEGMENT.subarray(0, 7) },
    ];
    for (const one of wrong) g.inject(error(3, 1, quoted(one)));
    expect(g.call("errorCount")).toBe(0);
    expect(g.stats().badIcmpErrors).toBe(whole.length + wrong.length);
  });

  test("is dropped if its own checksum is wrong", async () => {
    const g = await boot();
    const bytes = error(3, 1, quoted());
    bytes.writeUInt16BE(bytes.readUInt16BE(36) ^ 1, 36);
    g.inject(bytes);
    expect([g.call("errorCount"), g.stats().badIcmp]).toEqual([0, 1]);
  });

  test("of another protocol is nobody's", async () => {
    const g = await boot();
    for (const protocol of [0, IPPROTO_ICMP, 47, 255]) g.inject(error(3, 1, quoted({ protocol })));
    expect([g.call("errorCount"), g.stats().badIcmpErrors]).toEqual([0, 0]);
  });

  test("source quench, redirects and parameter problems are not errors of a packet", async () => {
    const g = await boot();
    for (const type of [4, 5, 12]) g.inject(error(type, 1, quoted()));
    expect(g.call("errorCount")).toBe(0);
  });

  test("TC10: is never answered, whatever it is about", async () => {
    const g = await boot();
    for (let code = 0; code < 16; code++) {
      g.inject(error(3, code, quoted()), error(11, code, quoted({ protocol: IPPROTO_UDP })));
    }
    expect(g.sent()).toEqual([]);
  });
});

describe("TC9: a datagram that is refused", () => {
  const DATAGRAM = Buffer.from([0x13, 0x88, 0, 7, 0, 8, 0, 0]); // from 5000 to 7
  const about = (q: Quote = {}) =>
    quoted({ protocol: IPPROTO_UDP, transport: DATAGRAM, destination: "10.0.0.2", ...q });

  test("is the port's affair if it names its peer alone", async () => {
    const g = await boot();
    const port = new Endpoint(g, 5000, ["10.0.0.2", 7]);
    g.inject(error(3, 3, about()));
    expect(port.refusals).toBe(1);
  });

  test("is not believed of another peer, nor where there is none", async () => {
    const g = await boot();
    const port = new Endpoint(g, 5000, ["10.0.0.2", 7]);
    const anybody = new Endpoint(g, 5001);
    const other = Buffer.from(DATAGRAM);
    other[3] = 8;
    const from5001 = Buffer.from(DATAGRAM);
    from5001[1] = 0x89;
    const from5002 = Buffer.from(DATAGRAM);
    from5002[1] = 0x8a;
    g.inject(error(3, 3, about({ destination: "10.0.0.3" })));
    for (const transport of [other, from5001, from5002]) {
      g.inject(error(3, 3, about({ transport })));
    }
    expect([port.refusals, anybody.refusals]).toEqual([0, 0]);
  });

  test("is no refusal if only the way is closed", async () => {
    const g = await boot();
    const port = new Endpoint(g, 5000, ["10.0.0.2", 7]);
    for (const code of [0, 1, 2, 4, 13]) g.inject(error(3, code, about()));
    g.inject(error(11, 0, about()));
    g.inject(udpFrame({ to: 5000, from: 7 }));
    expect([port.refusals, port.takeAll().length]).toEqual([0, 1]);
  });
});

test("TC9: a storm of errors leaves no memory behind and no fault", async () => {
  const g = await boot();
  const before = [g.call("inUse"), g.call("heapBlocks")];
  for (let i = 0; i < 300; i++) {
    const bytes = error(3 + 8 * (i & 1), i & 15, quoted({ payload: noise(i, i) }), i);
    g.inject(
      bytes,
      ipFrame({
        source: "10.0.0.2",
        destination: "10.0.0.1",
        payload: echo({ type: 3, data: noise(i) }),
        to: card(1),
      }),
    );
  }
  expect([g.call("inUse"), g.call("heapBlocks"), g.faults()]).toEqual([...before, 0]);
});
