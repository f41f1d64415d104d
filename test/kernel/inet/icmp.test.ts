// ICMP of the guest (TC9, TC10): echoes that it answers, and those that it asks for.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { ICMP_ECHO, ICMP_ECHOREPLY } from "../../../abi/ip.ts";
import {
  BROADCAST,
  card,
  echo,
  type Ip,
  internetChecksum,
  ipFrame,
  noise,
  whoHas,
} from "../../support/frames.ts";
import { type NetGuest, type NetGuestOptions, netGuests } from "../../support/net-guest.ts";

const make = await netGuests();

async function boot(options: NetGuestOptions = {}) {
  const g = await make(options);
  g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
  g.sent();
  return g;
}
const request = (payload: Uint8Array, p: Partial<Ip> = {}) =>
  ipFrame({
    to: card(1),
    from: card(2),
    source: "10.0.0.2",
    destination: "10.0.0.1",
    payload,
    ...p,
  });

describe("TC9: an echo request", () => {
  test.each([0, 1, 2, 3, 8, 56, 57, 1471, 1472])(
    "with %i bytes of data is answered with them",
    async (bytes) => {
      const g = await boot();
      const data = noise(bytes);
      g.inject(request(echo({ id: 0xabcd, sequence: 0x1234, data })));
      const [reply] = g.sentIp();
      expect(reply).toMatchObject({ to: card(2), source: "10.0.0.1", destination: "10.0.0.2" });
      expect(reply?.payload).toEqual(
        echo({ type: ICMP_ECHOREPLY, id: 0xabcd, sequence: 0x1234, data }),
      );
      expect(internetChecksum(reply?.header as Buffer)).toBe(0);
    },
  );

  test("is answered a hundred times a second", async () => {
    const g = await boot();
    const storm = async () => {
      for (let i = 0; i < 10; i++) g.inject(...Array.from({ length: 20 }, () => request(echo({}))));
      return g.sentIp().length;
    };
    expect(await storm()).toBe(100);
    expect(g.stats()).toMatchObject({ echoes: 100, echoesLimited: 100 });
    g.advance(999);
    expect(await storm()).toBe(0);
    g.advance(1);
    expect(await storm()).toBe(100);
  });

  test("is not answered if its checksum is wrong, or it is cut short", async () => {
    const g = await boot();
    const whole = echo({ data: noise(9) });
    for (let bit = 0; bit < whole.length * 8; bit++) {
      const bytes = Buffer.from(whole);
      bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7));
      g.inject(request(bytes));
    }
    for (let bytes = 0; bytes < 8; bytes++) g.inject(request(whole.subarray(0, bytes)));
    expect([g.sent(), g.stats().badIcmp]).toEqual([[], whole.length * 8 + 8]);
  });
});

test("TC9: source quench, redirects and other types are ignored", async () => {
  const g = await boot();
  const errors = [3, 11]; // which have tests of their own
  for (let type = 0; type < 256; type++) {
    if (type === ICMP_ECHO || errors.includes(type)) continue;
    g.inject(request(echo({ type, data: request(echo({})).subarray(14) })));
  }
  expect([g.sent(), g.stats().badIcmp]).toEqual([[], 0]);
  g.ping("10.0.0.2", 8, 10);
  expect(g.sentIp()[0]?.to).toBe(card(2));
});

test("TC10: nothing is answered by an error: no protocol, no broadcast, no fragment", async () => {
  const g = await boot();
  for (const protocol of [0, 2, 6, 17, 58, 255]) g.inject(request(noise(20), { protocol }));
  for (const destination of ["10.0.0.255", "255.255.255.255"]) {
    g.inject(request(noise(20), { to: BROADCAST, destination, protocol: 17 }));
  }
  g.inject(request(echo({ type: 3 }), { fragment: 1 }));
  expect(g.sent()).toEqual([]);
  expect(g.stats()).toMatchObject({ otherProtocol: 4, badTcp: 1, badUdp: 3 });
});

describe("SysPing", () => {
  /** The answer to what the guest asks, changed by the test. */
  const answer = (
    g: NetGuest,
    change: { id?: number; sequence?: number; data?: Uint8Array } = {},
    p: Partial<Ip> = {},
  ) => {
    const asked = g.sentIp()[0]?.payload as Buffer;
    const fields = {
      id: asked.readUInt16BE(4),
      sequence: asked.readUInt16BE(6),
      data: asked.subarray(8),
    };
    return request(echo({ type: ICMP_ECHOREPLY, ...fields, ...change }), p);
  };

  test("measures the time to the answer", async () => {
    const g = await boot();
    const ping = g.ping("10.0.0.2", 56);
    const reply = answer(g);
    g.advance(7);
    g.inject(reply);
    expect(ping.result()).toBe(7e6);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  // Linux answers an echo of zeros alone with a checksum of 0, which is wrong.
  test("numbers its requests from 1, so that none is all zeros", async () => {
    const g = await boot();
    for (const number of [1, 2, 3]) {
      g.ping("10.0.0.2", 0, 1);
      const { payload } = g.sentIp()[0] as { payload: Buffer };
      expect([payload.length, payload.readUInt32BE(4)]).toEqual([8, number]);
    }
  });

  test("takes no answer of another request, machine or length", async () => {
    const g = await boot();
    const ping = g.ping("10.0.0.2", 8, 100);
    const asked = g.device.sent[0];
    const again = (change: Parameters<typeof answer>[1], p?: Partial<Ip>) => {
      if (asked !== undefined) g.device.sent.push(asked);
      g.inject(answer(g, change, p));
    };
    again({ id: 0x7777 });
    again({ sequence: 0x7777 });
    again({ data: noise(7) });
    again({}, { source: "10.0.0.3" });
    expect(ping.result()).toBeUndefined();
    g.advance(100);
    expect(ping.result()).toBe(-Errno.ETIMEDOUT);
  });

  test("sixteen wait at once; a further one is refused", async () => {
    const g = await boot();
    const pings = Array.from({ length: 16 }, () => g.ping("10.0.0.2", 8, 1000));
    expect(g.ping("10.0.0.2").result()).toBe(-Errno.ENOBUFS);
    const replies = g.sentIp().map(({ payload }) => request(Buffer.from(payload)));
    for (const reply of replies.reverse()) {
      reply[34] = ICMP_ECHOREPLY;
      reply.writeUInt16BE(0, 36);
      reply.writeUInt16BE(internetChecksum(reply.subarray(34)), 36);
      g.inject(reply);
    }
    expect(pings.map(({ result }) => result())).toEqual(Array(16).fill(0));
    expect(g.ping("10.0.0.2").result()).toBeUndefined();
  });

  test("the place of a killed thread is free after its time-out", async () => {
    const g = await boot();
    const pings = Array.from({ length: 16 }, () => g.ping("10.0.0.2", 8, 1000));
    for (const { thread } of pings) g.call("SysKillThread", thread);
    expect(g.call("threadCount")).toBe(0);
    expect(g.ping("10.0.0.2").result()).toBe(-Errno.ENOBUFS);
    g.advance(1001);
    expect(g.ping("10.0.0.2", 8, 1).result()).toBeUndefined();
  });

  test("one that has expired leaves the next one in its place alone", async () => {
    const g = await boot();
    const first = g.ping("10.0.0.2", 8, 20);
    g.sent();
    const second = g.ping("10.0.0.2", 8, 10_000, 10);
    const passed = g.clock.now() + 100e6;
    g.clock.now = () => passed; // the host has slept: both threads wake up, the second one first
    g.advance(10);
    expect([first.result(), second.result()]).toEqual([-Errno.ETIMEDOUT, undefined]);
    g.inject(answer(g));
    expect(second.result()).toBe(0);
  });

  test("an answer that comes too late is nobody's", async () => {
    const g = await boot();
    const ping = g.ping("10.0.0.2", 8, 10);
    const reply = answer(g);
    g.advance(10);
    g.inject(reply);
    expect(ping.result()).toBe(-Errno.ETIMEDOUT);
  });
});

test("the checksum of any bytes is that of RFC 1071, the slow way", async () => {
  const g = await make();
  const at = g.call("ToroGetMem", 65_600) >>> 0;
  for (const bytes of [...Array(65).keys(), 1499, 1500, 65_535, 65_536]) {
    for (const offset of [0, 1, 2, 3]) {
      const data = bytes > 65_000 ? Buffer.alloc(bytes, 0xff) : noise(bytes, offset);
      g.machine.memory.bytes(at + offset, bytes).set(data);
      const own = g.call("checksumOf", at + offset, bytes);
      expect(((own & 0xff) << 8) | (own >> 8), `${bytes} at ${offset}`).toBe(
        internetChecksum(data),
      );
    }
  }
});
