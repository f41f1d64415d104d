// Packets that the guest sends to itself (TC63).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { noise } from "../../support/frames.ts";
import { type NetGuest, netGuests } from "../../support/net-guest.ts";
import { Endpoint } from "../../support/udp.ts";

const boot = await netGuests();
const OWN = ["127.0.0.1", "10.0.0.1"] as const;

describe.each(OWN)("TC63: a packet to %s", (own) => {
  test("arrives from that address, and not by the device", async () => {
    const g = await boot();
    g.sent();
    const [near, far] = [new Endpoint(g, 1000), new Endpoint(g, 2000)];
    expect(near.send(own, 2000, noise(1472))).toBe(0);
    expect(far.takeAll()).toEqual([{ from: own, port: 1000, data: noise(1472) }]);
    expect([g.sent(), g.call("isTimerRunning")]).toEqual([[], 0]);
  });

  test("is answered: an echo", async () => {
    const g = await boot();
    g.sent();
    expect(g.ping(own, 56).result()).toBe(0);
    expect(g.sent()).toEqual([]);
  });

  test("to a port that nobody has is refused", async () => {
    const g = await boot();
    const port = new Endpoint(g, 1000, [own, 9]);
    port.send(own, 9, noise(3));
    expect(port.refusals).toBe(1);
  });

  test("needs no link", async () => {
    const g = await boot({ config: { status: 0 } });
    expect(g.ping(own, 56).result()).toBe(0);
  });
});

test("TC63: the loopback needs no address, and others of 127/8 have none", async () => {
  const g = await boot({ parameters: "net.address=none" });
  expect(g.ping("127.0.0.1").result()).toBe(0);
  expect(g.ping("127.0.0.2").result()).toBe(-Errno.EADDRNOTAVAIL);
});

test("TC63: the MTU is the card's", async () => {
  const g = await boot();
  expect(new Endpoint(g).send("127.0.0.1", 9, noise(1473))).toBe(-Errno.EMSGSIZE);
});

describe("TC63: the queue", () => {
  /** Sends `count` datagrams before the loopback has its turn. */
  const burst = (g: NetGuest, count: number) => g.call("udpBurst", 1000, 0x7f000001, 2000, count);

  test("holds 64 packets; a further one is dropped and counted", async () => {
    const g = await boot();
    const port = new Endpoint(g, 2000);
    burst(g, 70);
    expect([port.takeAll().length, g.stats().loopbackFull]).toEqual([64, 6]);
  });

  test("gives others a turn after 64 packets, and goes on", async () => {
    const g = await boot();
    g.call("udpEcho", 2000);
    g.call("udpEcho", 2001);
    const before = g.call("udpEchoes");
    expect(g.call("udpSendSelf", 2000, 2001)).toBe(0); // two ports that answer each other for ever
    const first = g.call("udpEchoes") - before;
    expect(first).toBeGreaterThan(0);
    expect(first).toBeLessThanOrEqual(64);
    g.advance(1);
    expect(g.call("udpEchoes") - before).toBeGreaterThan(first);
    expect(g.call("threadCount")).toBe(0);
  });

  test("leaves no memory when its packets have arrived", async () => {
    const g = await boot();
    const before = [g.call("inUse"), g.call("heapBlocks")];
    burst(g, 70); // to a port that nobody has
    g.advance(1);
    expect([g.call("inUse"), g.call("heapBlocks")]).toEqual(before);
  });
});
