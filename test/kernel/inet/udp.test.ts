// UDP of the guest below sockets (TC11), and what it answers at ports that nobody has (TC10).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { IPPROTO_ICMP } from "../../../abi/ip.ts";
import { BROADCAST, card, internetChecksum, noise, whoHas } from "../../support/frames.ts";
import { type NetGuest, type NetGuestOptions, netGuests } from "../../support/net-guest.ts";
import { Endpoint, parseUdp, udpFrame, udpPacket } from "../../support/udp.ts";

const make = await netGuests();

/** A guest that knows 10.0.0.2. */
async function boot(options: NetGuestOptions = {}) {
  const g = await make(options);
  g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
  g.sent();
  return g;
}

/** Messages of ICMP that the guest has sent. */
const errors = (g: NetGuest) => g.sentIp().filter(({ protocol }) => protocol === IPPROTO_ICMP);

describe("TC11: a datagram that arrives", () => {
  test.each([0, 1, 2, 3, 7, 8, 1471, 1472])("with %i bytes has them", async (bytes) => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    g.inject(udpFrame({ to: 53, from: 999, data: noise(bytes) }));
    expect(port.takeAll()).toEqual([{ from: "10.0.0.2", port: 999, data: noise(bytes) }]);
    expect(g.sent()).toEqual([]);
  });

  test("is dropped for each bit that is not as it was sent", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    const whole = udpFrame({ to: 53, data: noise(9) });
    const bits = (8 + 9) * 8;
    const checksum = whole.readUInt16BE(14 + 20 + 6);
    for (let bit = 0; bit < bits; bit++) {
      const bytes = Buffer.from(whole);
      const at = 34 + (bit >> 3);
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      g.inject(bytes);
    }
    expect(checksum).not.toBe(0);
    expect([port.takeAll(), g.stats().badUdp]).toEqual([[], bits]);
  });

  test("is taken without a checksum", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    g.inject(udpFrame({ to: 53, data: noise(5), checksum: 0 }));
    expect(port.takeAll()).toHaveLength(1);
  });

  test("is dropped with the other zero, unless that is its sum", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    g.inject(udpFrame({ to: 53, data: noise(5), checksum: 0xffff }));
    expect([port.takeAll(), g.stats().badUdp]).toEqual([[], 1]);
    const bare = udpPacket({ to: 53, from: 5000, data: Buffer.alloc(2) }, "10.0.0.2", "10.0.0.1");
    const data = Buffer.from(bare.subarray(6, 8)); // which make the sum of all others 0xffff
    g.inject(udpFrame({ to: 53, data }));
    expect(udpFrame({ to: 53, data }).readUInt16BE(40)).toBe(0xffff);
    expect(port.takeAll()).toHaveLength(1);
  });

  test("may be shorter than IP's payload, and no longer", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    const lengths = [0, 7, 8, 12, 17, 18, 19, 0xffff];
    for (const length of lengths) {
      g.inject(udpFrame({ to: 53, data: noise(10), length, checksum: 0 }));
    }
    expect(port.takeAll().map(({ data }) => data.length)).toEqual([0, 4, 9, 10]);
    expect(g.stats().badUdp).toBe(4);
  });

  test("is dropped if it has no whole header", async () => {
    const g = await boot();
    const whole = udpPacket({ to: 53 }, "10.0.0.2", "10.0.0.1");
    const port = new Endpoint(g, 53);
    for (let bytes = 0; bytes < 8; bytes++) {
      g.inject(udpFrame({ to: 53, ip: { payload: whole.subarray(0, bytes) } }));
    }
    expect([port.takeAll(), g.stats().badUdp]).toEqual([[], 8]);
  });

  test("TC6: may be a broadcast", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    for (const destination of ["10.0.0.255", "255.255.255.255"]) {
      g.inject(udpFrame({ to: 53, ip: { to: BROADCAST, destination } }));
    }
    expect(port.takeAll()).toHaveLength(2);
  });

  test("comes from the one peer that the port has, if it has one", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53, ["10.0.0.2", 7]);
    g.inject(udpFrame({ to: 53, from: 7 }), udpFrame({ to: 53, from: 8 }));
    g.inject(udpFrame({ to: 53, from: 7, ip: { source: "10.0.0.3" } }));
    expect(port.takeAll()).toMatchObject([{ from: "10.0.0.2", port: 7 }]);
    expect(g.stats().noUdpPort).toBe(2);
  });
});

describe("TC11: a queue", () => {
  test("holds 64 datagrams, and drops the new one", async () => {
    const g = await boot();
    const port = new Endpoint(g, 53);
    for (let i = 0; i < 70; i++) g.inject(udpFrame({ to: 53, data: Buffer.from([i]) }));
    expect(g.stats().udpFull).toBe(6);
    expect(port.takeAll().map(({ data }) => data[0])).toEqual([...Array(64).keys()]);
    g.inject(udpFrame({ to: 53 }));
    expect(port.takeAll()).toHaveLength(1);
  });

  test("holds 256 KiB of memory, what each datagram takes beside its own included", async () => {
    const g = await boot({ config: { mtu: 9000 } });
    const port = new Endpoint(g, 53);
    const before = g.call("inUse");
    for (let i = 0; i < 40; i++) g.inject(udpFrame({ to: 53, data: noise(8900, i) }));
    expect(g.call("inUse") - before).toBeLessThanOrEqual(256 * 1024 + 64 * 16);
    const kept = port.takeAll();
    expect(kept.length).toBe(Math.floor((256 * 1024) / (8900 + 100)));
    expect(kept.map(({ data }) => data.equals(noise(8900, kept.length)))).toContain(false);
    expect([kept.length + g.stats().udpFull, g.call("inUse")]).toEqual([40, before]);
  });

  test("of one port fills up without harm to another", async () => {
    const g = await boot();
    const [full, other] = [new Endpoint(g, 53), new Endpoint(g, 53 + 256)];
    for (let i = 0; i < 65; i++) g.inject(udpFrame({ to: 53 }));
    g.inject(udpFrame({ to: 53 + 256 }));
    expect([full.takeAll().length, other.takeAll().length]).toEqual([64, 1]);
  });

  test("is freed with its port", async () => {
    const g = await boot();
    const before = [g.call("inUse"), g.call("heapBlocks")];
    const port = new Endpoint(g, 53);
    for (let i = 0; i < 20; i++) g.inject(udpFrame({ to: 53, data: noise(1000) }));
    port.close();
    expect([g.call("inUse"), g.call("heapBlocks")]).toEqual(before);
  });
});

describe("TC11: a datagram that the guest sends", () => {
  test.each([0, 1, 2, 3, 9, 1471, 1472])("with %i bytes is right on the wire", async (bytes) => {
    const g = await boot();
    const port = new Endpoint(g, 4000);
    expect(port.send("10.0.0.2", 53, noise(bytes))).toBe(0);
    const [sent] = g.sent();
    if (sent === undefined) throw new Error("nothing was sent");
    expect(parseUdp(sent)).toMatchObject({ to: card(2), source: "10.0.0.1", from: 4000, port: 53 });
    expect(parseUdp(sent).data).toEqual(noise(bytes));
  });

  test("has the checksum 0xffff where its sum is 0", async () => {
    const g = await boot();
    const port = new Endpoint(g, 5000);
    const packet = { to: 53, from: 5000, data: Buffer.alloc(2) };
    const data = udpPacket(packet, "10.0.0.1", "10.0.0.2").subarray(6, 8);
    port.send("10.0.0.2", 53, Buffer.from(data));
    const [sent] = g.sentIp();
    expect(sent?.payload.readUInt16BE(6)).toBe(0xffff);
  });

  test("is no longer than the MTU allows", async () => {
    const g = await boot();
    expect(new Endpoint(g).send("10.0.0.2", 53, noise(1473))).toBe(-Errno.EMSGSIZE);
    expect(g.sent()).toEqual([]);
  });

  test("may be a broadcast, which goes to all without a question", async () => {
    const g = await boot();
    const port = new Endpoint(g, 4000);
    for (const to of ["10.0.0.255", "255.255.255.255"]) expect(port.send(to, 9, noise(3))).toBe(0);
    const sent = g.sent().map(parseUdp);
    expect(sent.map(({ to, destination }) => [to, destination])).toEqual([
      [BROADCAST, "10.0.0.255"],
      [BROADCAST, "255.255.255.255"],
    ]);
    expect(port.send("255.255.255.255", 9, noise(1473))).toBe(-Errno.EMSGSIZE);
  });

  test("leaves nothing in memory, whatever became of it", async () => {
    const g = await boot();
    const port = new Endpoint(g, 4000);
    const before = [g.call("inUse"), g.call("heapBlocks")];
    for (const to of ["10.0.0.2", "10.0.0.255", "8.8.8.8", "224.0.0.1", "0.0.0.0"]) {
      for (const bytes of [0, 1000, 1473]) port.send(to, 9, noise(bytes));
    }
    expect([g.call("inUse"), g.call("heapBlocks")]).toEqual(before);
  });
});

describe("ports", () => {
  test("are given out once, until they are closed", async () => {
    const g = await boot();
    const first = new Endpoint(g, 53);
    expect(() => new Endpoint(g, 53)).toThrow(String(-Errno.EADDRINUSE));
    expect(() => new Endpoint(g, 65_536)).toThrow(String(-Errno.EINVAL));
    first.close();
    expect(new Endpoint(g, 53).port).toBe(53);
  });

  test("are chosen from 49152 on where none is named, and none twice", async () => {
    const g = await boot();
    const ports = Array.from({ length: 100 }, () => new Endpoint(g).port);
    expect(new Set(ports).size).toBe(100);
    expect(Math.min(...ports)).toBeGreaterThanOrEqual(49152);
    expect(Math.max(...ports)).toBeLessThan(65536);
  });

  test("that share a bucket stay apart, in whatever order they close", async () => {
    const g = await boot();
    const numbers = [1, 257, 513, 769];
    const ports = numbers.map((n) => new Endpoint(g, n));
    const [a, b, c, d] = ports as [Endpoint, Endpoint, Endpoint, Endpoint];
    for (const one of [b, d, a]) {
      one.close();
      g.inject(udpFrame({ to: 513, data: Buffer.from([1]) }));
    }
    expect(c.takeAll()).toHaveLength(3);
    c.close();
    g.inject(...numbers.map((to) => udpFrame({ to })));
    expect(g.stats().noUdpPort).toBe(4);
  });

  test("none is left: -EADDRNOTAVAIL", async () => {
    const g = await boot({ memoryBytes: 32 * 1024 * 1024 });
    for (let i = 0; i < 16_384; i++) g.machine.call("udpOpen", 49_152 + i, 0, 0);
    expect(() => new Endpoint(g)).toThrow(String(-Errno.EADDRNOTAVAIL));
  });
});

describe("TC10: a port that nobody has", () => {
  test("is unreachable: the sender gets its own header back, and 8 bytes", async () => {
    const g = await boot();
    const frame = udpFrame({ to: 9, data: noise(100), ip: { options: Buffer.from([1, 1, 1, 0]) } });
    g.inject(frame);
    const [error] = errors(g);
    expect(error).toMatchObject({ to: card(2), source: "10.0.0.1", destination: "10.0.0.2" });
    const icmp = error?.payload as Buffer;
    expect([icmp[0], icmp[1], internetChecksum(icmp)]).toEqual([3, 3, 0]);
    expect(icmp.subarray(8)).toEqual(frame.subarray(14, 14 + 24 + 8));
  });

  test("is answered ten times a second", async () => {
    const g = await boot();
    const storm = () => {
      for (let i = 0; i < 30; i++) g.inject(udpFrame({ to: 9 }));
      return errors(g).length;
    };
    expect(storm()).toBe(10);
    expect(g.stats()).toMatchObject({ errorsSent: 10, errorsLimited: 20, noUdpPort: 30 });
    g.advance(999);
    expect(storm()).toBe(0);
    g.advance(1);
    expect(storm()).toBe(10);
  });

  test("is not answered to a broadcast, of IP or of Ethernet", async () => {
    const g = await boot();
    for (const destination of ["10.0.0.255", "255.255.255.255", "10.0.0.1"]) {
      g.inject(udpFrame({ to: 9, ip: { to: BROADCAST, destination } }));
    }
    expect([errors(g), g.stats().noUdpPort]).toEqual([[], 3]);
  });

  test("is not answered to a fragment, nor to a datagram that is damaged", async () => {
    const g = await boot();
    g.inject(udpFrame({ to: 9, ip: { fragment: 0x2000 } }), udpFrame({ to: 9, checksum: 1 }));
    expect(errors(g)).toEqual([]);
  });
});
