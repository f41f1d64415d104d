// IPv4 of the guest (TC5 to TC8): what it takes, and where it sends.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { card, echo, type Ip, ipFrame, noise, whoHas } from "../../support/frames.ts";
import {
  ADDRESS,
  type NetGuest,
  type NetGuestOptions,
  netGuests,
} from "../../support/net-guest.ts";

const make = await netGuests();

/** A guest that knows 10.0.0.2, and an echo request of that machine. */
async function boot(options: NetGuestOptions = {}) {
  const g = await make(options);
  g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
  g.sent();
  return g;
}
const request = (p: Partial<Ip> = {}) =>
  ipFrame({
    to: card(1),
    from: card(2),
    source: "10.0.0.2",
    destination: "10.0.0.1",
    payload: echo({}),
    ...p,
  });

/** How many of the frames are answered. */
function answered(g: NetGuest, ...frames: Buffer[]): number {
  g.inject(...frames);
  return g.sentIp().length;
}

describe("TC5: a packet", () => {
  test("is taken if version, lengths and checksum are right", async () => {
    const g = await boot();
    expect(answered(g, request())).toBe(1);
    const wrong: Record<string, Record<number, number>> = {
      version: { 0: 0x65 },
      "header of 16 bytes": { 0: 0x44 },
      "header longer than the packet": { 0: 0x4f },
      "total length below the header": { 2: 0, 3: 19 },
      "total length 0": { 2: 0, 3: 0 },
      "total length beyond the frame": { 2: 0, 3: 200 },
      "total length 65535": { 2: 255, 3: 255 },
    };
    for (const [what, octets] of Object.entries(wrong)) {
      expect(answered(g, request({ wrong: octets, sum: true })), what).toBe(0);
    }
    expect(g.stats().badHeader).toBe(Object.keys(wrong).length);
  });

  test("is dropped for each bit of the header that is not as it was sent", async () => {
    const g = await boot();
    for (let bit = 0; bit < 160; bit++) {
      const bytes = request();
      const at = 14 + (bit >> 3);
      bytes[at] = (bytes[at] as number) ^ (1 << (bit & 7));
      expect(answered(g, bytes), `bit ${bit}`).toBe(0);
    }
    expect(answered(g, request())).toBe(1);
  });

  test("loses the padding of its frame", async () => {
    const g = await boot();
    g.inject(request({ padding: noise(20) }));
    const [reply] = g.sentIp();
    expect(reply?.payload).toHaveLength(16);
    expect(reply?.bytes).toHaveLength(14 + 20 + 16);
  });

  test("comes from a host, and not from ourselves", async () => {
    const g = await boot();
    const sources = ["0.0.0.0", "0.1.2.3", "127.0.0.1", "127.255.0.1", "224.0.0.1", "239.1.1.1"];
    const edges = ["240.0.0.1", "255.255.255.255", "10.0.0.255", "10.0.0.1"];
    for (const source of [...sources, ...edges]) {
      expect(answered(g, request({ source })), source).toBe(0);
    }
    expect(g.stats().badSource).toBe(sources.length + edges.length);
  });
});

test("TC6: is for our address; a broadcast is for UDP alone", async () => {
  const g = await boot();
  const others = ["10.0.0.3", "10.0.1.1", "255.255.255.255", "10.0.0.255", "10.0.0.0", "224.0.0.1"];
  for (const destination of others) {
    expect(answered(g, request({ destination })), destination).toBe(0);
  }
  expect(g.stats().notOurs).toBe(others.length);
  for (const destination of ["255.255.255.255", "10.0.0.255"]) {
    g.inject(request({ destination, protocol: 17 }));
  }
  expect(g.stats()).toMatchObject({ notOurs: others.length, badUdp: 2 });
});

describe("TC7: options and fragments", () => {
  test("options are skipped, and do not come back", async () => {
    const g = await boot();
    const options = [
      [1, 1, 1, 1],
      [1, 1, 1, 0],
      [0, 0xff, 0xff, 0xff],
      [7, 7, 4, 0, 0, 0, 0, 0],
      [148, 4, 0, 0],
      Array<number>(40).fill(1),
    ];
    for (const bytes of options) {
      g.inject(request({ options: Uint8Array.from(bytes) }));
      expect(g.sentIp()[0]?.header).toHaveLength(20);
    }
  });

  test("NP12: options that are cut off, or longer than the header, are dropped", async () => {
    const g = await boot();
    for (const bytes of [
      [7, 0, 0, 0],
      [7, 1, 0, 0],
      [7, 5, 0, 0],
      [1, 1, 1, 7],
      [7, 255, 0, 0],
    ]) {
      expect(answered(g, request({ options: Uint8Array.from(bytes) })), String(bytes)).toBe(0);
    }
    expect(g.stats()).toMatchObject({ badHeader: 5, sourceRoutes: 0 });
  });

  test("a packet that chooses its route is dropped and counted", async () => {
    const g = await boot();
    for (const kind of [131, 137]) {
      const options = Uint8Array.from([1, kind, 7, 4, 10, 0, 0, 9]);
      expect(answered(g, request({ options }))).toBe(0);
    }
    expect(g.stats().sourceRoutes).toBe(2);
  });

  test("NP12: fragments are dropped and counted, overlapping or not", async () => {
    const g = await boot();
    const fragments = [0x2000, 0x2001, 0x0001, 0x1fff, 0x3fff, 0x6000];
    for (const fragment of fragments) expect(answered(g, request({ fragment }))).toBe(0);
    expect(g.stats().fragments).toBe(fragments.length);
    for (const fragment of [0, 0x4000]) expect(answered(g, request({ fragment }))).toBe(1);
  });

  test("packets leave whole, marked so, with a TTL of 64", async () => {
    const g = await boot();
    g.ping("10.0.0.2", 1472, 10);
    const header = g.sentIp()[0]?.header as Buffer;
    expect(header.subarray(0, 10)).toEqual(Buffer.from([0x45, 0, 5, 0xdc, 0, 0, 0x40, 0, 64, 1]));
  });
});

describe("TC8: the next hop", () => {
  test("is the destination on our subnet, and otherwise the gateway", async () => {
    const g = await boot({ parameters: `${ADDRESS} net.gateway=10.0.0.2` });
    for (const to of ["10.0.0.2", "10.0.1.1", "8.8.8.8", "192.168.0.1"]) {
      g.ping(to, 8, 10);
      expect(g.sentIp()).toMatchObject([{ to: card(2), destination: to }]);
    }
  });

  test("without a gateway there is none beyond the subnet", async () => {
    const g = await boot();
    expect(g.ping("10.0.1.1").result()).toBe(-Errno.ENETUNREACH);
    expect(g.sent()).toEqual([]);
  });

  test("is none for broadcasts, groups and addresses of no host", async () => {
    const g = await boot({ parameters: `${ADDRESS} net.gateway=10.0.0.2` });
    for (const to of ["255.255.255.255", "10.0.0.255"]) {
      expect(g.ping(to).result(), to).toBe(-Errno.EACCES);
    }
    for (const to of ["0.0.0.0", "127.0.0.2", "224.0.0.1", "240.0.0.1"]) {
      expect(g.ping(to).result(), to).toBe(-Errno.ENETUNREACH);
    }
    expect(g.sent()).toEqual([]);
  });
});

describe("net.address and net.gateway", () => {
  test.each([
    ["10.0.0.1"],
    ["10.0.0.1/"],
    ["10.0.0.1/7"],
    ["10.0.0.1/31"],
    ["10.0.0.1/33"],
    ["10.0.0/24"],
    ["10.0.0.1.1/24"],
    ["10.0.0.256/24"],
    ["10.0.0.0001/24"],
    ["10..0.1/24"],
    ["10.0.0.1/24x"],
    ["10.0.0.0/24"],
    ["10.0.0.255/24"],
    ["127.0.0.1/8"],
    ["224.0.0.1/24"],
    ["0.0.0.1/8"],
    ["ten"],
  ])("TC14: %s is no address, and the console says so", async (value) => {
    const g = await make({ parameters: `net.address=${value}` });
    expect(g.lines.join("")).toContain("net: the value of net.address is ignored");
    expect(g.ping("10.0.0.9").result()).toBe(-Errno.EADDRNOTAVAIL);
    expect(g.sent()).toEqual([]);
  });

  test.each(["10.0.0.1", "10.0.1.2", "10.0.0.0", "10.0.0.255", "10.0.0.2/24", "x"])(
    "TC14: %s is no gateway of 10.0.0.1/24, and the console says so",
    async (value) => {
      const g = await make({ parameters: `${ADDRESS} net.gateway=${value}` });
      expect(g.lines.join("")).toContain("net: the value of net.gateway is ignored");
      expect(g.ping("8.8.8.8").result()).toBe(-Errno.ENETUNREACH);
    },
  );
});
