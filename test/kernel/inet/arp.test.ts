// ARP of the guest (TC1 to TC4), on a clock that the test turns.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ARPOP_REPLY, ARPOP_REQUEST, ETH_P_ARP, ETH_P_IP } from "../../../abi/ethernet.ts";
import { arp, BROADCAST, card, frame, whoHas } from "../../support/frames.ts";
import { ADDRESS, type NetGuest, netGuests } from "../../support/net-guest.ts";

const boot = await netGuests();
const NOBODY = "00:00:00:00:00:00";

/** Machine n at 10.0.0.n says where it is. */
const isAt = (n: number, at = card(n)) =>
  arp({
    op: ARPOP_REPLY,
    to: card(1),
    senderMac: at,
    sender: `10.0.0.${n}`,
    targetMac: card(1),
    target: "10.0.0.1",
  });

/** Where the guest sends a packet for 10.0.0.n; "ask": it asks first. */
function routeTo(g: NetGuest, n: number): string {
  g.sent();
  g.ping(`10.0.0.${n}`, 8, 1);
  const [first] = g.sent();
  g.advance(2);
  return first?.kind === "ip" ? first.to : "ask";
}

/** Makes machine n known. */
function meet(g: NetGuest, n: number): void {
  g.inject(whoHas("10.0.0.1", `10.0.0.${n}`, card(n)));
}

test("TC1: takes frames for its MAC and for all, of IPv4 and ARP; others are counted", async () => {
  const g = await boot();
  g.sent();
  const question = whoHas("10.0.0.1", "10.0.0.2", card(2));
  const to = (mac: string) => {
    const bytes = Buffer.from(question);
    Buffer.from(mac.replaceAll(":", ""), "hex").copy(bytes);
    return bytes;
  };
  g.inject(to(card(1)), to(BROADCAST));
  expect(g.sentArp()).toHaveLength(2);
  g.inject(to(card(2)), to("01:00:5e:00:00:01"), to("33:33:00:00:00:01"));
  expect([g.sent(), g.stats().notForUs]).toEqual([[], 3]);
  const others = [0x86dd, 0x8100, 0x88a8, 0x0001, ETH_P_IP + 1, ETH_P_ARP + 1];
  g.inject(...others.map((type) => frame(card(1), card(2), type, question.subarray(14))));
  expect([g.sent(), g.stats().otherType]).toEqual([[], others.length]);
});

describe("TC2: ARP", () => {
  test("answers who asks for its address, and nobody else", async () => {
    const g = await boot();
    g.sent();
    g.inject(whoHas("10.0.0.2", "10.0.0.3", card(3)), whoHas("10.0.0.1", "10.0.0.2", card(2)));
    expect(g.sentArp()).toMatchObject([
      {
        op: ARPOP_REPLY,
        to: card(2),
        senderMac: card(1),
        sender: "10.0.0.1",
        targetMac: card(2),
        target: "10.0.0.2",
      },
    ]);
  });

  test("announces itself when the link comes up, and not before", async () => {
    const g = await boot({ config: { status: 0 } });
    expect(g.sent()).toEqual([]);
    g.device.setStatus(1);
    g.settle();
    const announcement = {
      op: ARPOP_REQUEST,
      to: BROADCAST,
      sender: "10.0.0.1",
      target: "10.0.0.1",
      targetMac: NOBODY,
    };
    expect(g.sentArp()).toMatchObject([announcement]);
    g.device.setStatus(0);
    g.settle();
    g.device.setStatus(1);
    g.settle();
    expect(g.sentArp()).toMatchObject([announcement]);
  });

  test("learns from requests to it and from answers it asked for, and from nothing else", async () => {
    const g = await boot();
    g.inject(
      isAt(2),
      arp({ op: ARPOP_REQUEST, senderMac: card(3), sender: "10.0.0.3", target: "10.0.0.3" }),
    );
    g.inject(whoHas("10.0.0.9", "10.0.0.4", card(4)));
    expect([2, 3, 4].map((n) => routeTo(g, n))).toEqual(["ask", "ask", "ask"]);
    g.inject(isAt(2));
    meet(g, 5);
    expect([2, 5].map((n) => routeTo(g, n))).toEqual([card(2), card(5)]);
    g.inject(isAt(5, card(66))); // an answer that nobody asked for
    expect(routeTo(g, 5)).toBe(card(5));
  });

  // Once the packet came first: the peer's answer to it replaced what waited at the peer.
  test("answers a neighbour before it sends what waited for it", async () => {
    const g = await boot();
    g.ping("10.0.0.2");
    g.sent();
    meet(g, 2);
    expect(g.sent().map(({ kind }) => kind)).toEqual(["arp", "ip"]);
  });

  test("never takes an address for its own that somebody else claims, and says so once", async () => {
    const g = await boot();
    const told = () =>
      g.lines.join("").match(/another machine has our address, 10\.0\.0\.1\n/g) ?? [];
    g.sent();
    for (let i = 0; i < 5; i++) g.inject(isAt(1, card(9)));
    expect([told().length, g.stats().conflicts, g.sent()]).toEqual([1, 5, []]);
    g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
    expect(g.sentArp()[0]?.senderMac).toBe(card(1));
  });

  test("hears its own announcement without alarm", async () => {
    const g = await boot();
    g.inject(whoHas("10.0.0.1", "10.0.0.1", card(1)));
    expect(g.stats().conflicts).toBe(0);
  });

  test("answers a probe, whose sender has no address yet, and does not learn it", async () => {
    const g = await boot();
    g.sent();
    g.inject(whoHas("10.0.0.1", "0.0.0.0", card(7)));
    expect(g.sentArp()).toMatchObject([{ op: ARPOP_REPLY, to: card(7), target: "0.0.0.0" }]);
  });

  test("without an address it neither asks nor answers", async () => {
    const g = await boot({ parameters: "net.address=none" });
    g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)), whoHas("0.0.0.0", "10.0.0.2", card(2)));
    expect(g.ping("10.0.0.2").result()).toBe(-Errno.EADDRNOTAVAIL);
    expect(g.sent()).toEqual([]);
  });
});

describe("TC3: an address that nobody has", () => {
  test("is asked for three times, a second apart, and then the packet fails", async () => {
    const g = await boot();
    g.sent();
    const ping = g.ping("10.0.0.9");
    const asked: number[] = [];
    for (let ms = 0; ms < 3000; ms += 100) {
      if (g.sentArp().length > 0) asked.push(ms);
      expect(ping.result()).toBeUndefined();
      g.advance(100);
    }
    expect(asked).toEqual([0, 1000, 2000]);
    expect(ping.result()).toBe(-Errno.EHOSTUNREACH);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("is asked for once a second, however many packets there are for it", async () => {
    const g = await boot();
    g.sent();
    for (let i = 0; i < 16; i++) g.ping("10.0.0.9", 8, 900);
    expect(g.sentArp()).toHaveLength(1);
  });

  test("keeps the newest packet, and sends it when the answer comes", async () => {
    const g = await boot();
    g.sent();
    const before = g.call("heapBlocks");
    for (let bytes = 10; bytes < 14; bytes++) g.ping("10.0.0.2", bytes, 900);
    expect(g.call("heapBlocks") - before).toBeLessThan(4 * 4);
    g.sent();
    g.inject(isAt(2));
    const sent = g.sentIp();
    expect(sent.map(({ to, payload }) => [to, payload.length])).toEqual([[card(2), 8 + 13]]);
  });

  test("is asked for again when there is another packet", async () => {
    const g = await boot();
    const first = g.ping("10.0.0.9");
    g.advance(3000);
    const second = g.ping("10.0.0.9");
    expect(first.result()).toBe(-Errno.EHOSTUNREACH);
    g.advance(2999);
    expect(second.result()).toBeUndefined();
    g.advance(1);
    expect(second.result()).toBe(-Errno.EHOSTUNREACH);
  });
});

describe("TC4: the table of neighbours", () => {
  test("believes an answer for 60 seconds, and asks again by unicast while it is in use", async () => {
    const g = await boot();
    meet(g, 2);
    expect(routeTo(g, 2)).toBe(card(2));
    g.advance(50_000);
    g.sent();
    g.ping("10.0.0.2", 8, 1);
    const [question, packet] = g.sent();
    expect(question).toMatchObject({
      kind: "arp",
      op: ARPOP_REQUEST,
      to: card(2),
      target: "10.0.0.2",
    });
    expect(packet).toMatchObject({ kind: "ip", to: card(2) });
    g.inject(isAt(2));
    g.advance(44_000);
    expect(routeTo(g, 2)).toBe(card(2));
    g.advance(61_000);
    expect(routeTo(g, 2)).toBe("ask");
  });

  test("asks by unicast at most once a second, and runs no timer for it", async () => {
    const g = await boot();
    meet(g, 2);
    g.advance(46_000);
    g.sent();
    for (let i = 0; i < 20; i++) {
      g.ping("10.0.0.2", 8, 1);
      g.advance(100);
    }
    expect(g.sentArp()).toHaveLength(2);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("has 32 entries, of which the one that was used longest ago leaves", async () => {
    const g = await boot();
    for (let n = 10; n < 42; n++) {
      meet(g, n);
      g.advance(1);
    }
    expect(routeTo(g, 10)).toBe(card(10)); // used now
    meet(g, 42);
    expect(routeTo(g, 10)).toBe(card(10));
    expect(routeTo(g, 42)).toBe(card(42));
    expect(routeTo(g, 11)).toBe("ask");
  });

  test("never loses the gateway to others", async () => {
    const g = await boot({ parameters: `${ADDRESS} net.gateway=10.0.0.254` });
    meet(g, 254);
    g.advance(1);
    for (let n = 10; n < 100; n++) {
      meet(g, n);
      g.advance(1);
    }
    expect(routeTo(g, 254)).toBe(card(254));
  });
});

describe("NP8: storms and lies", () => {
  test("thousands of requests of different machines cost 32 entries", async () => {
    const g = await boot();
    const before = g.call("inUse");
    for (let i = 0; i < 3000; i += 50) {
      const storm = Array.from({ length: 50 }, (_, j) => {
        const bytes = whoHas("10.0.0.1", "10.0.0.2", card(2));
        bytes[31] = 2 + ((i + j) % 250);
        bytes.writeUInt16BE(i + j, 26);
        return bytes;
      });
      g.inject(...storm);
      g.device.sent.length = 0;
    }
    expect(g.call("inUse") - before).toBeLessThan(32 * 1024);
    expect(g.faults()).toBe(0);
  });

  test("senders that cannot be neighbours are not learned", async () => {
    const g = await boot({ parameters: `${ADDRESS} net.gateway=10.0.0.254` });
    const senders = [
      "10.0.1.2",
      "10.0.0.0",
      "10.0.0.255",
      "127.0.0.1",
      "224.0.0.1",
      "255.255.255.255",
    ];
    for (const sender of senders) g.inject(whoHas("10.0.0.1", sender, card(2)));
    g.sent();
    expect(g.ping("10.0.1.2", 8, 1).result()).toBeUndefined();
    expect(g.sentArp()).toMatchObject([{ target: "10.0.0.254" }]);
  });

  test("packets that are malformed are dropped and counted", async () => {
    const g = await boot();
    g.sent();
    const question = {
      op: ARPOP_REQUEST,
      senderMac: card(2),
      sender: "10.0.0.2",
      target: "10.0.0.1",
    };
    for (let at = 0; at < 8; at++) {
      for (const octet of [0x55, 0xff]) g.inject(arp({ ...question, wrong: { [at]: octet } }));
    }
    for (const senderMac of [BROADCAST, NOBODY, "01:00:5e:00:00:01"]) {
      g.inject(arp({ ...question, senderMac }));
    }
    for (let bytes = 14; bytes < 42; bytes++) g.inject(arp(question).subarray(0, bytes));
    expect([g.sent(), g.stats().badArp]).toEqual([[], 16 + 3 + 28]);
    expect(routeTo(g, 2)).toBe("ask");
    expect(g.faults()).toBe(0);
  });
});
