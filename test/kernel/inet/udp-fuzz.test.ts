// UDP, DHCP and errors by ICMP against messages that are almost right: a valid one, of which one to
// three things are changed, and whose checksums are repaired in half of the cases.
import { describe, expect, test } from "vitest";
import { ACK, answer, asked, GIVEN, held, lease, NAK, OFFER, words } from "../../support/dhcp.ts";
import { card, internetChecksum, noise, whoHas } from "../../support/frames.ts";
import { type NetGuest, netGuests } from "../../support/net-guest.ts";
import { Random } from "../../support/simulation-random.ts";
import { Endpoint, udpChecksum, udpFrame } from "../../support/udp.ts";

const make = await netGuests();

const IP = 14;
const EXTREMES = [0, 1, 0x7f, 0x80, 0xfe, 0xff];

/** One change at a random place from `from` on; the frame may get shorter or longer. */
function mutate(frame: Buffer, random: Random, from: number): Buffer {
  const at = Math.min(from + random.below(Math.max(1, frame.length - from)), frame.length - 1);
  const bytes = Buffer.from(frame);
  switch (random.below(6)) {
    case 0:
      bytes[at] = (bytes[at] as number) ^ (1 << random.below(8));
      return bytes;
    case 1:
      bytes[at] = EXTREMES[random.below(EXTREMES.length)] as number;
      return bytes;
    case 2:
      bytes.fill(
        random.below(2) === 0 ? 0 : 0xff,
        at,
        Math.min(at + 1 + random.below(8), bytes.length),
      );
      return bytes;
    case 3:
      return bytes.subarray(0, Math.max(IP, at));
    case 4: {
      const part = bytes.subarray(at, at + 1 + random.below(16));
      return Buffer.concat([bytes.subarray(0, at), part, bytes.subarray(at)]);
    }
    default:
      return Buffer.concat([bytes, noise(random.below(64), at)]);
  }
}

/** Lengths and checksums of IP and UDP as they should be, where the headers are there. */
function repair(frame: Buffer): void {
  if (frame.length < IP + 20) return;
  const header = ((frame[IP] as number) & 15) * 4;
  if (header < 20 || frame.length < IP + header) return;
  frame.writeUInt16BE(frame.length - IP, IP + 2);
  frame.writeUInt16BE(0, IP + 10);
  frame.writeUInt16BE(internetChecksum(frame.subarray(IP, IP + header)), IP + 10);
  const transport = frame.subarray(IP + header);
  if (frame[IP + 9] === 1 && transport.length >= 4) {
    transport.writeUInt16BE(0, 2);
    transport.writeUInt16BE(internetChecksum(transport), 2);
  }
  if (frame[IP + 9] !== 17 || transport.length < 8) return;
  transport.writeUInt16BE(transport.length, 4);
  transport.writeUInt16BE(0, 6);
  const dotted = (at: number) => [...frame.subarray(at, at + 4)].join(".");
  transport.writeUInt16BE(udpChecksum(dotted(IP + 12), dotted(IP + 16), transport), 6);
}

function spoil(frame: Buffer, random: Random, from: number): Buffer {
  let bytes = frame;
  for (let i = random.below(3); i >= 0; i--) bytes = mutate(bytes, random, from);
  if (random.below(2) === 0) repair(bytes);
  return bytes.subarray(0, 1514);
}

/** The guest's memory, once nothing is under way any more. */
function inUse(g: NetGuest): number[] {
  g.advance(5000); // questions by ARP have failed
  g.sent();
  return [g.call("inUse"), g.call("heapBlocks")];
}

describe.each([1, 2, 3, 4])("NP9, TC11: seed %i", (seed) => {
  test("datagrams that are almost right do no harm", async () => {
    const g = await make();
    g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
    const before = inUse(g);
    const random = new Random(seed);
    const port = new Endpoint(g, 53);
    for (let i = 0; i < 400; i++) {
      const to = random.below(3) === 0 ? 54 : 53;
      const valid = udpFrame({ to, data: noise(random.below(300), i) });
      const icmp = udpFrame({
        to,
        ip: { protocol: 1, payload: noise(8 + 28, i) },
      });
      valid.subarray(IP, IP + 28).copy(icmp, IP + 28); // quoted
      icmp[IP + 20] = 3;
      g.inject(spoil(valid, random, IP), spoil(icmp, random, IP));
      if (i % 100 === 99) g.advance(1000);
    }
    port.takeAll();
    g.inject(udpFrame({ to: 53, data: Buffer.from("alive") }));
    expect(port.take()?.data.toString()).toBe("alive");
    port.close();
    expect([inUse(g), g.faults(), g.call("threadCount")]).toEqual([before, 0, 0]);
  });

  test("servers that are almost right do no harm, and a good one is heard after them", async () => {
    const g = await make({ parameters: "" });
    const random = new Random(seed + 100);
    const before = [g.call("inUse"), g.call("heapBlocks")];
    for (let i = 0; i < 400; i++) {
      const xid = asked(g).at(-1)?.xid ?? 0;
      for (const type of [OFFER, ACK, NAK].slice(random.below(3))) {
        const extra = [
          [51, words(random.below(2) === 0 ? 3600 : random.below(5))],
          [26, Buffer.from([random.below(256), random.below(256)])],
          [random.below(256), noise(random.below(20), i)],
        ] as const;
        g.inject(spoil(answer({ type, xid, extra }), random, random.below(3) === 0 ? IP : 42));
      }
      g.advance([0, 200, 1000, 4000][random.below(4)] as number);
    }
    g.sent();
    startAnew(g);
    expect(held(g).address).toBe(GIVEN);
    expect([inUse(g), g.faults()]).toEqual([before, 0]);
  });
});

/** The guest loses its address, if it has one, and gets a good lease. */
function startAnew(g: NetGuest): void {
  const hadOne = held(g).address !== "0.0.0.0";
  for (const status of [0, 1]) {
    g.device.setStatus(status);
    g.settle();
  }
  if (hadOne) {
    g.inject(answer({ type: NAK, xid: asked(g)[0]?.xid as number, broadcast: true }));
    g.advance(1000);
  }
  lease(g);
}
