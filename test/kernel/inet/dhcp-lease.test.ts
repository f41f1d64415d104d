// The DHCP client with a lease (TC13): what it takes from it, how it keeps it, and how it loses it.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import {
  ACK,
  type Answer,
  answer,
  answerOf,
  asked,
  claims,
  DISCOVER,
  GIVEN,
  held,
  lease,
  NAK,
  OFFER,
  type Options,
  REQUEST,
  SERVER,
  words,
} from "../../support/dhcp.ts";
import { BROADCAST, card, ip, noise, whoHas } from "../../support/frames.ts";
import { type NetGuest, netGuests } from "../../support/net-guest.ts";

const make = await netGuests();

/** A guest with a lease, whose losses of its address are counted. */
async function boot(extra: Options = [], mtu = 1500) {
  const g = await make({ parameters: "", config: { mtu } });
  g.call("watchLosses");
  lease(g, extra);
  g.inject(whoHas(GIVEN, SERVER, card(2)));
  g.sent();
  return g;
}

const HOUR_MS = 3_600_000;

/** The link goes and comes. */
function replug(g: NetGuest): void {
  for (const status of [0, 1]) {
    g.device.setStatus(status);
    g.settle();
  }
}

describe("TC13: an option", () => {
  /** The machine's network after a lease with these options. */
  const heldWith = async (extra: Options, mtu = 1500) => held(await boot(extra, mtu));

  test("of a gateway, of name servers and of an MTU is used", async () => {
    const names = ["10.0.2.3", "192.0.2.1", "192.0.2.2", "192.0.2.3"].map(ip);
    const found = await heldWith([
      [3, Buffer.concat([ip("10.0.2.1"), ip("10.0.2.7")])],
      [6, Buffer.concat(names)],
      [26, Buffer.from([0x05, 0x14])],
    ]);
    expect(found).toEqual({
      address: GIVEN,
      gateway: "10.0.2.1",
      mtu: 1300,
      names: ["10.0.2.3", "192.0.2.1", "192.0.2.2", "0.0.0.0"],
    });
  });

  test("of an MTU is used within what the card and every network take", async () => {
    const cases: [number, number][] = [
      [576, 576],
      [575, 1500],
      [68, 1500],
      [0, 1500],
      [1500, 1500],
      [1501, 1500],
      [65_535, 1500],
    ];
    for (const [mtu, used] of cases) {
      expect((await heldWith([[26, Buffer.from([mtu >> 8, mtu & 255])]])).mtu, `${mtu}`).toBe(used);
    }
    expect((await heldWith([[26, Buffer.from([0xff, 0xf0])]], 65_520)).mtu).toBe(65_520);
  });

  test("limits what the guest sends", async () => {
    const g = await boot([[26, Buffer.from([0x05, 0x14])]]);
    expect(g.ping(SERVER, 1300 - 28, 1).result()).toBeUndefined();
    expect(g.ping(SERVER, 1300 - 27, 1).result()).toBe(-Errno.EMSGSIZE);
  });

  test("that is unknown is skipped, and so is the one that says where more are", async () => {
    const strange: Options = [
      [12, Buffer.from("a name")],
      [52, Buffer.from([3])],
      [121, noise(16)],
      [224, noise(255)],
      [0xfe, Buffer.alloc(0)],
    ];
    expect((await heldWith(strange)).address).toBe(GIVEN);
  });

  test("of a wrong length is skipped", async () => {
    const found = await heldWith([
      [3, noise(3)],
      [6, noise(5)],
      [26, noise(4)],
      [1, Buffer.alloc(0)],
      [58, noise(8)],
      [59, noise(2)],
    ]);
    expect(found).toEqual({
      address: GIVEN,
      gateway: "0.0.0.0",
      mtu: 1500,
      names: ["0.0.0.0", "0.0.0.0", "0.0.0.0", "0.0.0.0"],
    });
  });

  test("of the subnet may be missing: then it is that of the address's class", async () => {
    for (const [address, gateway, expected] of [
      ["10.0.2.15", "10.200.0.1", "10.200.0.1"],
      ["172.16.9.9", "172.16.200.1", "172.16.200.1"],
      ["172.16.9.9", "172.17.0.1", "0.0.0.0"],
      ["192.168.1.9", "192.168.1.1", "192.168.1.1"],
      ["192.168.1.9", "192.168.2.1", "0.0.0.0"],
    ] as const) {
      const g = await make({ parameters: "" });
      lease(
        g,
        [
          [1, Buffer.alloc(3)],
          [3, ip(gateway)],
        ],
        address,
      );
      expect(held(g)).toMatchObject({ address, gateway: expected });
    }
  });
});

describe("NP9: a gateway", () => {
  test.each(["10.0.3.1", "10.0.2.0", "10.0.2.255", GIVEN, "0.0.0.0", "127.0.0.1", "224.0.0.1"])(
    "%s is none of 10.0.2.15/24: the rest of the lease is used",
    async (gateway) => {
      const g = await boot([[3, ip(gateway)]]);
      expect(held(g)).toMatchObject({ address: GIVEN, gateway: "0.0.0.0" });
      expect(g.lines.join("")).toContain(`net: ${GIVEN}/24 by DHCP\n`);
    },
  );
});

describe("NP9: an offer is no lease", () => {
  const bad: [string, Partial<Answer>][] = [
    ["of no address", { address: "0.0.0.0", broadcast: true }],
    ["of the loopback", { address: "127.0.0.1", broadcast: true }],
    ["of a group", { address: "224.0.0.1", broadcast: true }],
    ["of all", { address: "255.255.255.255" }],
    ["of the subnet's own address", { address: "10.0.2.0" }],
    ["of the subnet's broadcast", { address: "10.0.2.255" }],
    ["without a server", { extra: [[54, Buffer.alloc(0)]] }],
    ["of a server that is none", { extra: [[54, ip("0.0.0.0")]] }],
    ["of a server in many places", { extra: [[54, ip("224.0.0.1")]] }],
    ["for no time", { extra: [[51, words(0)]] }],
    ["for a time unknown", { extra: [[51, Buffer.alloc(3)]] }],
    ["with a mask of holes", { extra: [[1, ip("255.0.255.0")]] }],
    ["with a mask of a host", { extra: [[1, ip("255.255.255.255")]] }],
    ["with a mask too long", { extra: [[1, ip("255.255.255.254")]] }],
    ["with a mask too short", { extra: [[1, ip("254.0.0.0")]] }],
    ["with an option beyond its end", { tail: Buffer.from([3, 5, 0, 0]) }],
    ["with an option without a length", { tail: Buffer.from([3]) }],
  ];

  test.each(bad)("%s", async (_, fields) => {
    const g = await make({ parameters: "" });
    const xid = asked(g)[0]?.xid as number;
    g.inject(answer({ type: OFFER, xid, ...fields }));
    expect(asked(g)).toEqual([]);
    g.inject(answer({ type: OFFER, xid }));
    expect(asked(g)).toHaveLength(1);
    g.inject(answer({ type: ACK, xid, ...fields }));
    g.advance(300);
    expect(held(g).address).toBe("0.0.0.0");
    expect(g.stats().badDhcp + g.stats().badSource).toBeGreaterThanOrEqual(2);
  });

  test("that is cut off anywhere, but where only options are missing", async () => {
    const g = await make({ parameters: "" });
    const xid = asked(g)[0]?.xid as number;
    const whole = answer({ type: OFFER, xid });
    for (let bytes = 14 + 28; bytes < 14 + 28 + 240 + 3 + 6; bytes++) {
      const data = whole.subarray(14 + 28, bytes);
      g.inject(answerOf(data));
    }
    expect(asked(g)).toEqual([]);
    g.inject(whole);
    expect(asked(g)).toHaveLength(1);
  });
});

describe("TC13: the lease", () => {
  test("leaves the machine alone until half of it has passed, and asks its server then", async () => {
    const g = await boot();
    expect(g.call("timerInMs")).toBeCloseTo(HOUR_MS / 2 - 200, 0);
    g.advance(HOUR_MS / 2 - 201);
    expect(asked(g)).toEqual([]);
    g.inject(whoHas(GIVEN, SERVER, card(2)));
    g.sent();
    g.advance(1);
    const [renewal] = asked(g);
    expect(renewal).toMatchObject({
      type: REQUEST,
      frameTo: card(2),
      source: GIVEN,
      destination: SERVER,
      ciaddr: GIVEN,
      requested: undefined,
      server: undefined,
      secs: 0,
    });
    g.inject(answer({ type: ACK, xid: renewal?.xid as number, extra: [[51, words(7200)]] }));
    expect(g.call("timerInMs")).toBeCloseTo(HOUR_MS, 0);
    g.advance(HOUR_MS - 1);
    expect([asked(g), held(g).address, g.call("lossCount")]).toEqual([[], GIVEN, 0]);
  });

  test("takes another gateway when it is prolonged", async () => {
    const g = await boot();
    g.advance(HOUR_MS / 2);
    g.inject(whoHas(GIVEN, SERVER, card(2)));
    const { xid } = asked(g).find(({ type }) => type === REQUEST) as { xid: number };
    g.inject(answer({ type: ACK, xid, extra: [[3, ip("10.0.2.9")]] }));
    expect(held(g)).toMatchObject({ address: GIVEN, gateway: "10.0.2.9" });
    expect(g.lines.join("").match(/by DHCP/g)).toHaveLength(1);
  });

  test("is prolonged by its server alone, then by any, and then it ends", async () => {
    const g = await boot([[51, words(1000)]]);
    const seen: { s: number; frameTo: string; type: number | undefined }[] = [];
    for (let s = 0; s < 1001; s++) {
      g.advance(1000);
      g.inject(whoHas(GIVEN, SERVER, card(2)));
      for (const one of asked(g)) seen.push({ s: s + 1, frameTo: one.frameTo, type: one.type });
    }
    // Half of what is left, but a minute at least (RFC 2131, 4.4.5).
    expect(seen.map(({ s }) => s)).toEqual([500, 688, 782, 842, 875, 938, 998, 1000]);
    const [renewals, rest] = [seen.slice(0, 4), seen.slice(4)];
    expect(renewals.every(({ frameTo }) => frameTo === card(2))).toBe(true);
    expect(rest.every(({ frameTo }) => frameTo === BROADCAST)).toBe(true);
    expect(seen.at(-1)?.type).toBe(DISCOVER);
    expect([held(g).address, g.call("lossCount")]).toEqual(["0.0.0.0", 1]);
    expect(g.lines.join("")).toContain(`net: the lease has ended of ${GIVEN}\n`);
    expect(g.ping(SERVER).result()).toBe(-Errno.EADDRNOTAVAIL);
  });

  test("is prolonged by any server after T2, and by no other before", async () => {
    const g = await boot([[51, words(1000)]]);
    const other: Options = [[54, ip("10.0.2.9")]];
    g.advance(500_000);
    g.inject(whoHas(GIVEN, SERVER, card(2)));
    const renewal = asked(g)[0]?.xid as number;
    g.inject(answer({ type: ACK, xid: renewal, extra: other }));
    expect(g.stats().badDhcp).toBe(1);
    g.advance(375_000);
    const rebinding = asked(g).at(-1)?.xid as number;
    g.inject(
      answer({ type: ACK, xid: rebinding, extra: other, address: "10.0.2.77", broadcast: true }),
    );
    expect([g.stats().badDhcp, held(g).address]).toEqual([2, GIVEN]);
    g.inject(answer({ type: ACK, xid: rebinding, extra: other }));
    expect(g.call("timerInMs")).toBeCloseTo(HOUR_MS / 2, -3);
  });

  test("has T1 and T2 of its own, if they are in their order", async () => {
    const first = async (t1: number, t2: number) => {
      const g = await boot([
        [51, words(1000)],
        [58, words(t1)],
        [59, words(t2)],
      ]);
      return g.call("timerInMs") / 1000;
    };
    expect(await first(100, 200)).toBeCloseTo(100, 0);
    for (const [t1, t2] of [
      [0, 200],
      [200, 200],
      [300, 200],
      [100, 1000],
      [100, 0xffffffff],
    ]) {
      expect(await first(t1 as number, t2 as number), `${t1} ${t2}`).toBeCloseTo(500, 0);
    }
  });

  test("NP9: for ever needs no timer, and one of a second two requests a second at most", async () => {
    const g = await boot([[51, words(0xffffffff)]]);
    expect(g.call("isTimerRunning")).toBe(0);
    replug(g);
    expect([asked(g).length, g.call("isTimerRunning")]).toEqual([1, 0]);
    const short = await boot([[51, words(1)]]);
    let requests = 0;
    for (let i = 0; i < 100; i++) {
      short.advance(100);
      for (const { type, xid } of asked(short)) {
        requests++;
        if (type === REQUEST) short.inject(answer({ type: ACK, xid, extra: [[51, words(1)]] }));
      }
    }
    expect(requests).toBeLessThanOrEqual(21);
    expect(held(short).address).toBe(GIVEN);
  });

  test("ends at once by a NAK: connections lose their address", async () => {
    const g = await boot();
    g.advance(HOUR_MS / 2);
    g.inject(whoHas(GIVEN, SERVER, card(2)));
    const { xid } = asked(g)[0] as { xid: number };
    g.inject(answer({ type: NAK, xid, options: [[54, ip(SERVER)]] }));
    expect([held(g).address, g.call("lossCount")]).toEqual(["0.0.0.0", 1]);
    expect(held(g)).toMatchObject({
      gateway: "0.0.0.0",
      mtu: 1500,
      names: Array(4).fill("0.0.0.0"),
    });
    expect(g.lines.join("")).toContain(`net: DHCP has taken back ${GIVEN}\n`);
    g.advance(1000);
    lease(g, [], "10.0.2.16");
    expect(held(g).address).toBe("10.0.2.16");
  });

  test("is asked about when the link comes back: there may be another network", async () => {
    const g = await boot();
    replug(g);
    const [question] = asked(g);
    expect(question).toMatchObject({ type: REQUEST, frameTo: BROADCAST, ciaddr: GIVEN });
    expect(held(g).address).toBe(GIVEN);
    g.inject(answer({ type: NAK, xid: question?.xid as number, options: [], broadcast: true }));
    expect(held(g).address).toBe("0.0.0.0");
  });

  test("ends while there is no link, and another one is looked for with the next", async () => {
    const g = await boot([[51, words(1000)]]);
    g.device.setStatus(0);
    g.settle();
    g.advance(1_000_000);
    expect([held(g).address, g.call("isTimerRunning")]).toEqual(["0.0.0.0", 0]);
    g.device.setStatus(1);
    g.settle();
    expect(asked(g).at(-1)?.type).toBe(DISCOVER);
  });

  test("has ended if the link comes back later than that", async () => {
    const g = await boot([[51, words(1000)]]);
    g.device.setStatus(0);
    g.settle();
    const passed = g.clock.now() + 5e12;
    g.clock.now = () => passed;
    g.device.setStatus(1);
    g.settle();
    expect(asked(g).map(({ type }) => type)).toEqual([DISCOVER]);
    expect([held(g).address, g.call("lossCount")]).toEqual(["0.0.0.0", 1]);
  });

  test("ends all at once if the machine has slept through it", async () => {
    const g = await boot([[51, words(1000)]]);
    const passed = g.clock.now() + 5e12;
    g.clock.now = () => passed;
    g.advance(600_000);
    expect(asked(g).map(({ type }) => type)).toEqual([DISCOVER]);
    expect(g.call("lossCount")).toBe(1);
  });

  test("NP9: a storm of NAKs costs two messages a second", async () => {
    const g = await make({ parameters: "" });
    let messages = 0;
    for (let i = 0; i < 100; i++) {
      for (const { type, xid } of asked(g)) {
        messages++;
        g.inject(answer({ type: type === DISCOVER ? OFFER : NAK, xid }));
        g.inject(answer({ type: NAK, xid }));
      }
      g.advance(100);
    }
    expect(messages).toBeLessThanOrEqual(22);
    expect(messages).toBeGreaterThanOrEqual(18);
  });

  test("a new address that somebody claims is reported as the first was", async () => {
    const g = await boot();
    const conflict = (address: string) => g.inject(claims(address));
    conflict(GIVEN);
    replug(g);
    g.inject(answer({ type: NAK, xid: asked(g)[0]?.xid as number, broadcast: true }));
    g.advance(1000);
    lease(g, [], "10.0.2.16");
    conflict("10.0.2.16");
    expect(g.lines.join("").match(/another machine has our address/g)).toHaveLength(2);
  });

  test("leaves no memory behind", async () => {
    const g = await boot();
    const before = [g.call("inUse"), g.call("heapBlocks")];
    for (let i = 0; i < 20; i++) {
      replug(g);
      const { xid } = asked(g).at(-1) as { xid: number };
      g.inject(answer({ type: i % 2 === 0 ? ACK : NAK, xid }));
      g.advance(1000);
      if (i % 2 === 1) lease(g);
      g.sent();
    }
    expect([g.call("inUse"), g.call("heapBlocks")]).toEqual(before);
  });
});
