// The switch between cards of one process (NB), on every kind of ring.
import { describe, expect, test } from "vitest";
import { WholeFrame } from "../../../host/devices/net/frame.ts";
import { NO_RIGHTS } from "../../../host/devices/net/offload/offload.ts";
import { NetSwitch } from "../../../host/devices/net/switch.ts";
import { NetDevice } from "../../../host/devices/net.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { BROADCAST, card, digests, frame, noise } from "../../support/frames.ts";
import { NetPuppet, type NetPuppetOptions, netHeader, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";

const TYPE = 0x88b5;
const from = (n: number, to: string, seed = 0) => frame(to, card(n), TYPE, noise(50, seed));

const octet = (value: number) => value.toString(16).padStart(2, "0");

/** A card that notes what comes. */
function plain(network: NetSwitch, n: number) {
  const got: number[] = [];
  const address = Number.parseInt(card(n).replaceAll(":", ""), 16);
  const deliver = ({ bytes }: { bytes: number }) => void got.push(bytes);
  const port = network.join({
    ...{ mac: address, mtu: 1500, deliver, settle() {}, linkChanged() {} },
    ...{ offer: () => false, lend: () => null, now: () => 0, after: () => () => {} },
    ...{ takes: NO_RIGHTS, isFull: false },
  });
  return { port, got };
}

test("NB1, NG9: a hundred thousand sources fill the share of their port alone", () => {
  const network = new NetSwitch({ antiSpoof: false });
  const [a, b] = [plain(network, 1), plain(network, 2)];
  b.port.send(new WholeFrame(from(2, BROADCAST)));
  const bytes = from(1, card(2));
  for (let i = 0; i < 100_000; i++) {
    bytes.writeUInt32BE(i, 8);
    a.port.send(new WholeFrame(bytes));
  }
  expect([network.known, network.stats.flooded]).toEqual([65, 1]);
  expect([a.got.length, b.got.length]).toEqual([1, 100_000]);
});

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  /** Guests 1 to n. */
  function guests(count: number, network = new NetSwitch(), options: NetPuppetOptions = {}) {
    const clock = new ManualClock();
    return Array.from(
      { length: count },
      (_, i) => new NetPuppet({ rings, network, clock, mac: card(i + 1), ...options }),
    );
  }
  const arrived = (all: readonly NetPuppet[]) => all.map((one) => one.take().length);

  test("NB1: knows 64 addresses of a port and 1,024 in all; the oldest leaves", () => {
    const network = new NetSwitch({ antiSpoof: false });
    const all = guests(20, network, { rxBuffers: 0 });
    const address = (n: number) => `06:00:00:00:${octet(n >> 8)}:${octet(n & 255)}`;
    const [first, second] = all as [NetPuppet, NetPuppet];
    const say = (guest: NetPuppet, source: string, to = BROADCAST) => {
      guest.tx.used();
      guest.send(frame(to, source, TYPE, noise(20)));
    };
    for (let i = 0; i < 100; i++) say(first, address(i));
    expect(network.known).toBe(64);
    const forwarded = () => network.stats.forwarded;
    const before = forwarded();
    say(second, card(2), address(99));
    expect(forwarded()).toBe(before + 1);
    say(second, card(2), address(35)); // forgotten, so that everybody gets it
    expect(forwarded()).toBe(before + 1);
    for (const [i, guest] of all.entries()) {
      for (let j = 0; j < 64; j++) say(guest, address(1000 + i * 64 + j));
    }
    expect(network.known).toBe(1024);
  });

  test("NB1: an address that moves to another port leads there", () => {
    const network = new NetSwitch({ antiSpoof: false });
    const all = guests(3, network);
    const [a, b, c] = all as [NetPuppet, NetPuppet, NetPuppet];
    a.send(from(7, BROADCAST));
    b.send(from(7, BROADCAST));
    arrived(all);
    c.send(from(3, card(7)));
    expect(arrived(all)).toEqual([0, 1, 0]);
    expect(network.known).toBe(2);
  });

  test("NB1, NB2: refuses zero and group sources, and those of others unless antiSpoof is off", () => {
    const strict = guests(2);
    strict[0]?.send(from(9, card(2)), from(1, card(2)));
    expect(arrived(strict)).toEqual([0, 1]);
    const network = new NetSwitch({ antiSpoof: false });
    const open = guests(2, network);
    open[0]?.send(from(9, card(2)), frame(card(2), BROADCAST, TYPE, noise(9)));
    expect(arrived(open)).toEqual([0, 1]);
    expect(network.stats).toMatchObject({ spoofed: 0, badSource: 1 });
  });

  test("sends broadcast, multicast and what it does not know to all but the sender", () => {
    const all = guests(4);
    const first = all[0] as NetPuppet;
    for (const to of [BROADCAST, "01:00:5e:00:00:fb", card(3)]) {
      first.send(from(1, to));
      expect(arrived(all)).toEqual([0, 1, 1, 1]);
    }
    all[2]?.send(from(3, card(1)));
    expect(arrived(all)).toEqual([1, 0, 0, 0]);
    first.send(from(1, card(3)));
    expect(arrived(all)).toEqual([0, 0, 1, 0]);
    first.send(from(1, card(1)));
    expect(arrived(all)).toEqual([0, 0, 0, 0]);
  });

  test("NB3: a port whose guest reads nothing holds 256 frames or 1 MiB, and delays nobody", () => {
    const network = new NetSwitch();
    const all = guests(3, network, { mtu: 9000, rxBuffers: 0 });
    const [a, slow, fast] = all as [NetPuppet, NetPuppet, NetPuppet];
    fast.post(200, [12, 9014]);
    fast.halt();
    const sent = Array.from({ length: 150 }, (_, i) =>
      frame(BROADCAST, card(1), TYPE, noise(9000, i)),
    );
    for (const one of sent) {
      a.send(one);
      a.tx.used();
    }
    expect(digests(fast.take(false))).toEqual(digests(sent));
    const held = Math.floor(2 ** 20 / 9014);
    expect(slow.device.waiting).toBe(held);
    expect(slow.device.stats.dropped.queueFull).toBe(150 - held);
    slow.post(held, [12, 9014]);
    slow.halt();
    expect(digests(slow.take(false))).toEqual(digests(sent.slice(0, held)));
  });

  test("NB4: fills rings at once, and asks for the other guest's turn once for a batch", () => {
    const { left, right } = pair({ rings }, { rings });
    const before = [left.turns, right.turns];
    left.sendRaw(...Array.from({ length: 20 }, (_, i) => [netHeader(), from(1, card(2), i)]));
    expect(right.take(false)).toHaveLength(20);
    expect([left.turns, right.turns]).toEqual([before[0], (before[1] ?? 0) + 1]);
  });

  test("NB5: copies a frame once, and gives the sender's chain back in the same turn", () => {
    const { left, right } = pair({ rings }, { rings });
    const sent = [from(1, card(2)), from(1, BROADCAST)];
    left.send(...sent);
    const bytes = sent.reduce((sum, { length }) => sum + length, 0);
    expect(left.tx.used()).toHaveLength(2);
    expect(left.tx.queue.inFlight).toBe(0);
    expect(right.device.stats).toMatchObject({ copiedToGuest: bytes, copiedToQueue: 0 });
    expect(left.device.stats).toMatchObject({ copiedToGuest: 0, copiedToQueue: 0 });
  });

  test("NB7: a frame above the receiver's MTU is dropped, and not cut", () => {
    const network = new NetSwitch();
    const clock = new ManualClock();
    const rxBuffer = [12, 9014];
    const a = new NetPuppet({ rings, network, clock, mac: card(1), mtu: 9000, rxBuffer });
    const b = new NetPuppet({ rings, network, clock, mac: card(2), mtu: 1500, rxBuffer });
    const c = new NetPuppet({ rings, network, clock, mac: card(3), mtu: 9000, rxBuffer });
    const jumbo = frame(BROADCAST, card(1), TYPE, noise(5000));
    a.send(jumbo);
    expect([b.take(), digests(c.take())]).toEqual([[], digests([jumbo])]);
    expect(b.device.stats.dropped.tooLong).toBe(1);
  });

  test("NB8: a port that is reset or disposed of loses its addresses and its queue", () => {
    const network = new NetSwitch();
    const all = guests(3, network, { rxBuffers: 0 });
    const [a, b, c] = all as [NetPuppet, NetPuppet, NetPuppet];
    for (const [i, one] of all.entries()) one.send(from(i + 1, BROADCAST));
    expect([b.device.waiting, network.known]).toEqual([2, 3]);
    b.rx.detach();
    b.tx.detach();
    b.device.reset();
    expect([b.device.waiting, network.known]).toEqual([0, 2]);
    a.tx.used();
    a.send(from(1, card(2)));
    expect(network.stats.flooded).toBe(4);
    c.device.dispose();
    c.device.dispose();
    expect(network.macs).toEqual([card(1), card(2)]);
    expect(network.known).toBe(1);
    a.tx.used();
    a.send(from(1, card(3)));
    expect(c.rx.used()).toEqual([]);
  });

  test("NB8: a MAC is taken until its device is disposed of", () => {
    const network = new NetSwitch();
    const device = new NetDevice({ network, mac: card(1) });
    expect(() => new NetDevice({ network, mac: card(1) })).toThrow(/MAC .*:01 is taken/);
    device.dispose();
    new NetDevice({ network, mac: card(1) });
    expect(network.macs).toEqual([card(1)]);
  });

  test("has 256 ports", () => {
    const network = new NetSwitch();
    const plug = (n: number) => new NetDevice({ network, mac: `06:00:00:00:01:${octet(n)}` });
    for (let i = 0; i < 256; i++) plug(i);
    expect(() => new NetDevice({ network, mac: card(1) })).toThrow("256 ports");
    expect(network.macs).toHaveLength(256);
  });

  test("NB10: floods in the order in which cards joined, and repeats itself to the byte", () => {
    const run = () => {
      const order: string[] = [];
      const network = new NetSwitch();
      for (const n of [3, 1, 2]) {
        const tap = { fromGuest: () => {}, toGuest: () => void order.push(card(n)) };
        new NetPuppet({ rings, network, mac: card(n), capture: tap });
      }
      const last = new NetPuppet({ rings, network, mac: card(4) });
      last.send(from(4, BROADCAST));
      return order;
    };
    expect(run()).toEqual([card(3), card(1), card(2)]);
    expect(run()).toEqual(run());
  });
});
