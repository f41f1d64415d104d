// Guests that break the rules of the network device (NG), on every kind of ring: the device
// survives, and nothing else on the switch notices.
import { describe, expect, test } from "vitest";
import { EthernetHdr } from "../../../abi/ethernet.ts";
import { NetHdr } from "../../../abi/net.ts";
import { BROADCAST, card, digests, frame, mac, noise } from "../../support/frames.ts";
import { NetPuppet, netHeader, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";

const TYPE = 0x88b5;
const good = frame(card(2), card(1), TYPE, noise(60));

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  const both = (a = {}, b = {}) => pair({ rings, ...a }, { rings, ...b });

  /** After all that, a good frame still arrives. */
  function expectAlive({ left, right }: ReturnType<typeof both>): void {
    left.tx.used();
    left.send(good);
    expect(digests(right.take())).toEqual(digests([good]));
    expect([...left.tx.faults, ...left.rx.faults, ...right.rx.faults]).toEqual([]);
  }

  test("NG1: chains without a header, or without a frame, are used and counted", () => {
    const guests = both();
    for (const bytes of [1, 11, 12, 13, 25]) guests.left.sendRaw([noise(bytes)]);
    guests.left.sendRaw([netHeader(), noise(13)]);
    expect(guests.left.device.stats).toMatchObject({ rejected: 6, framesFromGuest: 0 });
    expect(guests.left.tx.used().map(({ len }) => len)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(guests.right.take()).toEqual([]);
    expectAlive(guests);
  });

  test("NG2: frames beyond the MTU are dropped, up to those of megabytes", () => {
    const guests = both();
    const megabyte = Buffer.alloc(1 << 20, 1);
    for (const payload of [noise(1501), noise(65536), megabyte]) {
      guests.left.send(frame(card(2), card(1), TYPE, payload));
    }
    expect(guests.left.device.stats.dropped.tooLong).toBe(3);
    expect(guests.right.take()).toEqual([]);
    expectAlive(guests);
  });

  test("NG3: writable parts of transmit chains and readable ones of receive chains are refused", () => {
    const guests = both({}, { rxBuffers: 0 });
    guests.left.sendRaw([netHeader(), good, 4], [2000]);
    expect(guests.left.device.stats.rejected).toBe(2);
    guests.right.rx.add([noise(4), 1526]);
    guests.right.rx.add([noise(1526)]);
    guests.right.post(4);
    guests.left.send(good);
    expect(digests(guests.right.take(false))).toEqual(digests([good]));
    expect(guests.right.device.stats.rejected).toBe(2);
    expectAlive(guests);
  });

  test("NG4, NG5: offloads that were not negotiated are dropped, whatever their fields say", () => {
    const guests = both();
    const headers = [1, 3, 4, 5, 0x80, 0x81, 0xff].map((type) => ({ [NetHdr.gso_type]: type }));
    const sums = [0, 13, 14, 34, 0xff].map((start) => ({
      [NetHdr.flags]: 1,
      [NetHdr.csum_start]: start,
      [NetHdr.csum_offset]: 0xff,
    }));
    for (const fields of [...headers, ...sums]) guests.left.sendRaw([netHeader(fields), good]);
    expect(guests.left.device.stats.dropped.offload).toBe(headers.length + sums.length);
    expect(guests.right.take()).toEqual([]);
    expectAlive(guests);
  });

  test("NG6: the hint of the headers' length changes nothing", () => {
    const guests = both();
    for (const octet of [0, 1, 0xff]) {
      const fields = { [NetHdr.hdr_len]: octet, [NetHdr.hdr_len + 1]: octet };
      guests.left.sendRaw([netHeader(fields), good]);
    }
    expect(digests(guests.right.take())).toEqual(digests([good, good, good]));
  });

  test("NG7: receive chains that hold no frame are given back empty; odd ones are filled", () => {
    const guests = both({}, { rxBuffers: 0 });
    guests.right.post(1, [12]);
    guests.right.post(1, [13]);
    guests.right.post(1, [25]);
    guests.right.post(1, Array<number>(400).fill(1));
    guests.right.halt();
    guests.left.send(good);
    expect(guests.right.rx.used().map(({ len }) => len)).toEqual([0, 0, 0, 12 + good.length]);
    expect(guests.right.device.stats.rejected).toBe(3);
    guests.right.post(1, [2, 1024 * 1024]);
    guests.right.halt();
    guests.left.send(good);
    expect(digests(guests.right.take(false))).toEqual(digests([good]));
  });

  test("NG7: a receive ring that is never filled holds 256 frames, and costs nothing more", () => {
    const guests = both({}, { rxBuffers: 0 });
    const sent = Array.from({ length: 400 }, (_, i) => frame(card(2), card(1), TYPE, noise(60, i)));
    for (const one of sent) {
      guests.left.send(one);
      guests.left.tx.used();
    }
    expect(guests.right.device.waiting).toBe(256);
    expect(guests.right.device.stats.dropped.queueFull).toBe(144);
    guests.right.post(100);
    guests.right.halt();
    guests.right.post(200);
    guests.right.halt();
    const got = guests.right.take(false);
    expect(digests(got)).toEqual(digests(sent.slice(0, 256)));
    expect(guests.right.device.waiting).toBe(0);
  });

  test("NG8: a storm of frames goes on after the host's other events, 64 at a time", () => {
    const { left, right, clock } = both({}, { rxBuffers: 250 });
    for (let i = 0; i < 200; i++) left.tx.add([netHeader(), good]);
    left.device.notify(1);
    left.halt();
    const arrived: number[] = [];
    while (clock.deferred > 0) {
      arrived.push(right.device.stats.framesToGuest);
      clock.settle();
    }
    expect(arrived).toEqual([64, 128, 192]);
    expect(right.take(false)).toHaveLength(200);
  });

  test("NG8: of long frames a turn moves 256 KiB", () => {
    const room = { mtu: 65520, rxBuffer: [12, 65536], rxBuffers: 16 };
    const { left, right, clock } = both(room, room);
    const long = frame(card(2), card(1), TYPE, noise(65000));
    for (let i = 0; i < 10; i++) left.tx.add([netHeader(), long]);
    left.device.notify(1);
    left.halt();
    expect(right.device.stats.framesToGuest).toBe(5);
    clock.settle();
    expect(right.device.stats.framesToGuest).toBe(10);
  });

  test("NG8: a frame waits for the next turn when the receiver's allowance is used up", () => {
    const guests = both();
    const { queue } = guests.right.rx;
    const pop = queue.pop.bind(queue);
    queue.pop = () => null;
    guests.left.send(good, good);
    expect(guests.right.device.waiting).toBe(2);
    queue.pop = pop;
    guests.right.device.notify(1); // as the registers do when the next turn begins
    guests.right.halt();
    expect(digests(guests.right.take())).toEqual(digests([good, good]));
    expect(guests.right.device.stats.dropped).toMatchObject({ noFit: 0, queueFull: 0 });
  });

  test("NG8: a storm that the driver ends by a reset goes no further", () => {
    const { left, right, clock } = both({}, { rxBuffers: 200 });
    for (let i = 0; i < 100; i++) left.tx.add([netHeader(), good]);
    left.device.notify(1);
    left.halt();
    left.tx.detach();
    left.rx.detach();
    left.device.reset();
    clock.settle();
    expect([clock.deferred, right.device.stats.framesToGuest]).toEqual([0, 64]);
  });

  test("NG9: frames from others' addresses, from groups and from nobody go nowhere", () => {
    const guests = both();
    const sources = [card(2), card(3), BROADCAST, "01:00:5e:00:00:01", "00:00:00:00:00:00"];
    guests.left.send(...sources.map((source) => frame(card(2), source, TYPE, noise(40))));
    expect(guests.right.take()).toEqual([]);
    expect(guests.network.stats).toMatchObject({ spoofed: 2, badSource: 3, forwarded: 0 });
    expectAlive(guests);
  });

  test("NG11: an address that changes after the frame was read changes nothing", () => {
    const guests = both();
    const third = new NetPuppet({ rings, network: guests.network, mac: card(3) });
    third.send(frame(BROADCAST, card(3), TYPE, noise(50)));
    guests.right.send(frame(BROADCAST, card(2), TYPE, noise(50)));
    for (const one of [guests.left, guests.right, third]) one.take();
    // The guest writes while the device reads: into the header, as soon as that has been copied.
    const { u8 } = guests.left.memory;
    const copy = u8.subarray.bind(u8);
    guests.left.tx.add([netHeader(), good]);
    const at = Buffer.from(u8.buffer).indexOf(good);
    let reads = 0;
    u8.subarray = (start?: number, end?: number) => {
      const view = copy(start, end);
      if (start === at && ++reads > 1) mac(card(3)).copy(u8, at + EthernetHdr.h_dest);
      return view;
    };
    guests.left.device.notify(1);
    guests.left.halt();
    expect(digests(guests.right.take())).toEqual(digests([good]));
    expect(third.take()).toEqual([]);
  });

  test("a device that is reset in mid-stream touches neither ring any more", () => {
    const guests = both({}, { rxBuffers: 8 });
    guests.left.send(good, good);
    guests.right.take(false);
    guests.right.rx.detach();
    guests.right.tx.detach();
    guests.right.device.reset();
    guests.left.tx.used();
    guests.left.send(good);
    expect(guests.right.rx.used()).toEqual([]);
    expect(guests.right.device.stats.dropped.noLink).toBe(1);
    guests.right.boot();
    expectAlive(guests);
  });

  test("a receive queue that is stopped gets nothing, a transmit queue sends nothing", () => {
    const guests = both();
    guests.right.device.stopped(0);
    guests.left.send(good);
    expect(guests.right.rx.used()).toEqual([]);
    guests.left.device.stopped(1);
    guests.left.tx.add([netHeader(), good]);
    guests.left.device.notify(1);
    guests.left.halt();
    expect(guests.left.device.stats.framesFromGuest).toBe(1);
  });
});
