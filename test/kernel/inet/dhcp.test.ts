// The DHCP client finding an address (TC12, TC14), on a clock that the test turns.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ARPOP_REQUEST } from "../../../abi/ethernet.ts";
import {
  ACK,
  type Answer,
  answer,
  asked,
  claims,
  DECLINE,
  DISCOVER,
  GIVEN,
  held,
  lease,
  NAK,
  OFFER,
  PROBE_MS,
  REQUEST,
  SERVER,
} from "../../support/dhcp.ts";
import { BROADCAST, card, ip, whoHas } from "../../support/frames.ts";
import { lie, type NetGuest, type NetGuestOptions, netGuests } from "../../support/net-guest.ts";

const make = await netGuests();

/** A guest without a static address, whose entropy is all different. */
function boot(options: NetGuestOptions = {}) {
  let next = 1;
  const entropy = (into: Uint8Array) => {
    for (let i = 0; i < into.length; i++) into[i] = next++ * 37;
  };
  return make({ parameters: "", entropy, ...options });
}

/** The guest's first question. */
function first(g: NetGuest) {
  const [message] = asked(g);
  if (message === undefined) throw new Error("the guest asks for nothing");
  return message;
}

/** The guest has asked for what was offered; its REQUEST. */
function requested(g: NetGuest) {
  const { xid } = first(g);
  g.inject(answer({ type: OFFER, xid }));
  return first(g);
}

/** Milliseconds at which the guest asks, while `ms` of them pass, and what. */
function watch(g: NetGuest, ms: number, step = 250) {
  const seen: { at: number; type: number | undefined; xid: number }[] = [];
  for (let at = 0; at <= ms; at += step) {
    for (const { type, xid } of asked(g)) seen.push({ at, type, xid });
    g.advance(step);
  }
  return seen;
}

describe("TC12: an address", () => {
  test("is found by DISCOVER, OFFER, REQUEST and ACK", async () => {
    const g = await boot();
    const discover = first(g);
    expect(discover).toMatchObject({
      type: DISCOVER,
      frameTo: BROADCAST,
      source: "0.0.0.0",
      destination: "255.255.255.255",
      flags: 0,
      secs: 0,
      ciaddr: "0.0.0.0",
      chaddr: card(1),
      requested: undefined,
      server: undefined,
    });
    expect([...(discover.options.get(55) ?? [])]).toEqual([1, 3, 6, 26]);
    g.inject(answer({ type: OFFER, xid: discover.xid }));
    const request = first(g);
    expect(request).toMatchObject({
      type: REQUEST,
      frameTo: BROADCAST,
      source: "0.0.0.0",
      destination: "255.255.255.255",
      xid: discover.xid,
      ciaddr: "0.0.0.0",
      requested: GIVEN,
      server: SERVER,
    });
    expect(request.options.get(61)).toEqual(discover.options.get(61));
    g.inject(answer({ type: ACK, xid: request.xid }));
    expect(held(g).address).toBe("0.0.0.0");
    g.advance(PROBE_MS);
    expect(held(g)).toEqual({
      address: GIVEN,
      gateway: SERVER,
      mtu: 1500,
      names: ["10.0.2.3", "0.0.0.0", "0.0.0.0", "0.0.0.0"],
    });
    expect(g.lines.join("")).toContain(`net: ${GIVEN}/24 by DHCP, gateway ${SERVER}\n`);
  });

  test("is asked for where net.address is dhcp, and by answers to all", async () => {
    const g = await boot({ parameters: "net.address=dhcp" });
    const { xid } = first(g);
    g.inject(answer({ type: OFFER, xid, broadcast: true }));
    g.inject(answer({ type: ACK, xid, broadcast: true }));
    g.advance(PROBE_MS);
    expect(held(g).address).toBe(GIVEN);
  });

  test("is not asked for by a machine that has one", async () => {
    for (const parameters of ["net.address=10.0.0.1/24", "net.address=none"]) {
      const g = await boot({ parameters });
      g.sent();
      g.advance(60_000);
      expect([g.sent(), g.call("isTimerRunning")]).toEqual([[], 0]);
      g.inject(answer({ type: OFFER, xid: 0, broadcast: true }));
      expect(g.stats().badDhcp).toBe(0);
    }
  });

  test("is looked for again and again: after 4, 8 and 16 seconds, and then from the start", async () => {
    const g = await boot();
    const seen = watch(g, 70_000);
    const gaps = seen.slice(1).map(({ at }, i) => at - (seen[i]?.at as number));
    expect(seen.length).toBeGreaterThanOrEqual(6);
    [4000, 8000, 16_000, 4000, 8000].forEach((ms, i) => {
      expect(gaps[i]).toBeGreaterThanOrEqual(ms - 1000);
      expect(gaps[i]).toBeLessThanOrEqual(ms + 1250);
    });
    expect(new Set(gaps.map((ms, i) => ms - (4000 << (i % 3)))).size).toBeGreaterThan(1);
    const numbers = seen.map(({ xid }) => xid);
    expect(new Set(numbers.slice(0, 3)).size).toBe(1);
    expect(numbers[3]).not.toBe(numbers[0]);
    expect(seen.every(({ type }) => type === DISCOVER)).toBe(true);
  });

  test("says how long it has been looking", async () => {
    const g = await boot();
    g.sent();
    g.advance(13_000 + 1000);
    expect(asked(g).at(-1)?.secs).toBeGreaterThanOrEqual(10);
  });

  test("is looked for anew if nobody confirms what was offered", async () => {
    const g = await boot();
    const { xid } = requested(g);
    const seen = watch(g, 32_000);
    expect(seen.slice(0, 3).map(({ type }) => type)).toEqual([REQUEST, REQUEST, DISCOVER]);
    expect(seen.slice(0, 2).map((one) => one.xid)).toEqual([xid, xid]);
    expect(seen[2]?.xid).not.toBe(xid);
    g.inject(answer({ type: ACK, xid }));
    expect(held(g).address).toBe("0.0.0.0");
  });

  test("is looked for when the link comes up, and not without one", async () => {
    const g = await boot({ config: { status: 0 } });
    g.advance(60_000);
    expect([g.sent(), g.call("isTimerRunning")]).toEqual([[], 0]);
    g.device.setStatus(1);
    g.settle();
    requested(g);
    g.device.setStatus(0);
    g.settle();
    expect(g.call("isTimerRunning")).toBe(0);
    g.device.setStatus(1);
    g.settle();
    expect(first(g).type).toBe(DISCOVER);
  });

  test("stays what it was when the first of several servers offered it", async () => {
    const g = await boot();
    const { xid } = first(g);
    g.inject(answer({ type: OFFER, xid }));
    const other = {
      from: "10.0.2.3",
      address: "10.0.2.99",
      extra: [[54, ip("10.0.2.3")]],
    } as const;
    g.inject(answer({ type: OFFER, xid, ...other }));
    expect(asked(g).map(({ requested: address }) => address)).toEqual([GIVEN]);
    g.inject(answer({ type: ACK, xid, ...other }));
    expect(g.stats().badDhcp).toBe(1);
    g.inject(answer({ type: ACK, xid }));
    g.advance(PROBE_MS);
    expect(held(g).address).toBe(GIVEN);
  });

  test("is taken from nobody who has not seen the question", async () => {
    const g = await boot();
    const { xid } = first(g);
    const wrong: Partial<Answer>[] = [
      { xid: (xid ^ 1) >>> 0 },
      { xid: 0 },
      { chaddr: card(7) },
      { port: 68 },
      { wrong: { 0: 1 } },
      { wrong: { 1: 6 } },
      { wrong: { 2: 16 } },
      { wrong: { 236: 0 } },
      { type: 0 },
      { type: DISCOVER },
      { type: 8 },
      { type: 255 },
    ];
    for (const one of wrong) g.inject(answer({ type: OFFER, xid, ...one }));
    expect([asked(g), g.stats().badDhcp]).toEqual([[], wrong.length]);
    for (const type of [ACK, NAK]) g.inject(answer({ type, xid })); // to nothing that was asked
    expect([asked(g), held(g).address]).toEqual([[], "0.0.0.0"]);
    g.inject(answer({ type: OFFER, xid }));
    expect(asked(g)).toHaveLength(1);
  });

  test("is looked for again a second after a NAK", async () => {
    const g = await boot();
    const { xid } = requested(g);
    g.inject(answer({ type: NAK, xid, options: [[54, ip("10.0.2.9")]] }));
    expect(g.stats().badDhcp).toBe(1);
    g.inject(answer({ type: NAK, xid, options: [[54, ip(SERVER)]] }));
    g.advance(999);
    expect(asked(g)).toEqual([]);
    g.advance(1);
    expect(first(g)).toMatchObject({ type: DISCOVER });
  });

  test("is all that a datagram can be about while there is none", async () => {
    const g = await boot();
    const { xid } = first(g);
    const before = g.stats();
    g.call("udpOpen", 53, 0, 0);
    const frame = answer({ type: OFFER, xid });
    frame.writeUInt16BE(53, 36);
    frame.writeUInt16BE(0, 40);
    g.inject(frame);
    expect([g.sent(), g.stats().noUdpPort - before.noUdpPort]).toEqual([[], 1]);
  });
});

describe("TC14: before it is used, an address", () => {
  test("is asked for by ARP, from nobody's", async () => {
    const g = await boot();
    const { xid } = requested(g);
    g.inject(answer({ type: ACK, xid }));
    expect(g.sentArp()).toMatchObject([
      { op: ARPOP_REQUEST, to: BROADCAST, sender: "0.0.0.0", senderMac: card(1), target: GIVEN },
    ]);
    g.inject(whoHas(GIVEN, "10.0.2.2", card(2)));
    expect(g.sent()).toEqual([]);
    g.advance(PROBE_MS);
    expect(g.sentArp()).toMatchObject([{ sender: GIVEN, target: GIVEN }]); // it is ours now
  });

  test.each([
    ["an answer", claims(GIVEN)],
    ["a request of its owner", whoHas("10.0.2.2", GIVEN, card(9))],
    ["a probe of another machine", whoHas(GIVEN, "0.0.0.0", card(9))],
  ])("is declined after %s, and another one is looked for", async (_, frame) => {
    const g = await boot();
    const { xid } = requested(g);
    g.inject(answer({ type: ACK, xid }));
    g.sent();
    g.inject(frame);
    g.advance(PROBE_MS);
    expect(first(g)).toMatchObject({
      type: DECLINE,
      xid,
      source: "0.0.0.0",
      destination: "255.255.255.255",
      ciaddr: "0.0.0.0",
      requested: GIVEN,
      server: SERVER,
    });
    expect([held(g).address, g.stats().dhcpDeclines]).toEqual(["0.0.0.0", 1]);
    expect(g.lines.join("")).toContain(
      `another machine has the address that DHCP gave us, ${GIVEN}`,
    );
    g.advance(9999);
    expect(g.sent()).toEqual([]);
    g.advance(1);
    lease(g, [], "10.0.2.16");
    expect(held(g).address).toBe("10.0.2.16");
  });

  test("is not disputed by its own probe, nor by questions about others", async () => {
    const g = await boot();
    const { xid } = requested(g);
    g.inject(answer({ type: ACK, xid }));
    g.inject(
      whoHas(GIVEN, "0.0.0.0", card(1)),
      claims("10.0.2.16"),
      whoHas(SERVER, "10.0.2.9", card(9)),
    );
    g.advance(PROBE_MS);
    expect(held(g).address).toBe(GIVEN);
  });
});

describe("SysWaitForAddress", () => {
  const wait = (g: NetGuest, ms: number) => {
    const at = g.call("startWait", ms) >>> 0;
    const { view } = g.machine.memory;
    return () => (view.getUint32(at, true) === 0 ? undefined : view.getInt32(at + 4, true));
  };

  test("waits until there is one", async () => {
    const g = await boot();
    const [result, patient] = [wait(g, 10_000), wait(g, -1)];
    expect([result(), patient()]).toEqual([undefined, undefined]);
    lease(g);
    expect([result(), patient(), wait(g, 0)()]).toEqual([0, 0, 0]);
  });

  test("gives up", async () => {
    const g = await boot();
    const result = wait(g, 1000);
    g.advance(999);
    expect(result()).toBeUndefined();
    g.advance(1);
    expect(result()).toBe(-Errno.ETIMEDOUT);
  });

  test("returns at once with a static address, and where none will come", async () => {
    expect(wait(await boot({ parameters: "net.address=10.0.0.1/24" }), -1)()).toBe(0);
    expect(wait(await boot({ parameters: "net.address=none" }), -1)()).toBe(-Errno.EADDRNOTAVAIL);
  });

  test("fails when the card is gone, and then nothing runs any more", async () => {
    const g = await boot();
    const result = wait(g, -1);
    lie(g, 0, 5000);
    g.machine.call("interrupt", 5);
    g.settle();
    expect(result()).toBe(-Errno.ENETDOWN);
    expect([wait(g, -1)(), g.call("isTimerRunning")]).toEqual([-Errno.ENETDOWN, 0]);
  });
});
