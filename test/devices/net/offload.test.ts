// Checksums and segments that guests leave to the card (NW, NG, NB), on every kind of ring.
import { describe, expect, test } from "vitest";
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
} from "../../../abi/net.ts";
import { Mmio, Status } from "../../../abi/virtio.ts";
import { FrameCapture } from "../../../host/devices/net/capture.ts";
import { WholeFrame } from "../../../host/devices/net/frame.ts";
import type { Network, Port } from "../../../host/devices/net/network.ts";
import { NetSwitch } from "../../../host/devices/net/switch.ts";
import { NetDevice } from "../../../host/devices/net.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { card, digests, frame, internetChecksum, ipFrame, noise } from "../../support/frames.ts";
import { NetPuppet, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { RingPuppet } from "../../support/ring-puppet.ts";
import {
  parseTcp,
  pseudoHeader,
  readWork,
  tcpFrame,
  type Work,
  workHeader,
} from "../../support/tcp-frames.ts";

const SENDS = [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_HOST_TSO4];
const TAKES = [VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4];
const ROOM = { rxBuffer: [12, 65550], rxBuffers: 8 };
const [FIN, PSH, ACK, CWR] = [1, 8, 16, 128];
const long = tcpFrame({ payload: noise(60_000), isPartial: true });
const SEGMENTS: Work = { type: 1, size: 1448, hint: 54 };

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  const both = (a = {}, b = {}) =>
    pair({ rings, features: SENDS, ...a }, { rings, rxBuffers: 200, ...b });
  const send = (guest: NetPuppet, work: Work, bytes: Uint8Array) =>
    guest.sendRaw([workHeader(work), bytes]);

  test("NW1: offers offloads where the network carries them, and no part of them alone", () => {
    const { device } = new NetPuppet({ rings });
    const bits = (list: number[]) => list.reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
    const all = bits([...SENDS, ...TAKES]);
    expect(device.features & all).toBe(all);
    const off = new NetPuppet({ rings, offloads: false });
    expect(off.device.features & all).toBe(0n);
    const port: Port = { hasLink: true, send() {}, flush() {}, forget() {}, leave() {} };
    const plain: Network = { join: () => port };
    expect(new NetPuppet({ rings, network: plain }).device.features & all).toBe(0n);
    for (const [list, isGood] of [
      [[], true],
      [[VIRTIO_NET_F_CSUM], true],
      [SENDS, true],
      [TAKES, true],
      [[VIRTIO_NET_F_HOST_TSO4], false],
      [[VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_CSUM], false],
    ] as const) {
      expect(device.accepts(bits([...list]))).toBe(isGood);
    }
  });

  test("NW1: refuses the choice of a driver that leaves out a feature which others need", () => {
    const { eventIdx, indirect } = rings;
    const device = new NetDevice({ network: new NetSwitch(), mac: card(7) });
    const puppet = new RingPuppet(device, { eventIdx, indirect, inactive: true });
    for (const [bits, isGood] of [
      [[VIRTIO_NET_F_HOST_TSO4], false],
      [[VIRTIO_NET_F_GUEST_TSO4], false],
      [TAKES, true],
    ] as const) {
      const low = bits.reduce((sum, bit) => sum + 2 ** bit, 0);
      for (const status of [0, 1, 3]) puppet.write(Mmio.Status, status);
      [low, 1].forEach((half, i) => {
        puppet.write(Mmio.DriverFeaturesSel, i);
        puppet.write(Mmio.DriverFeatures, half);
      });
      puppet.write(Mmio.Status, 11);
      expect((puppet.status & Status.FEATURES_OK) !== 0).toBe(isGood);
    }
  });

  test("NB6, NW22, NW23: passes work on to a guest that has negotiated to do it", () => {
    const { left, right } = both({}, { features: TAKES, ...ROOM });
    send(left, {}, tcpFrame({ isPartial: true }));
    send(left, SEGMENTS, long);
    const [first, second] = right.used();
    expect(readWork(first?.bytes ?? noise(12))).toEqual({
      ...{ flags: 1, type: 0, hint: 0, size: 0, start: 34, offset: 16, buffers: 1 },
    });
    expect(readWork(second?.bytes ?? noise(12))).toEqual({
      ...{ flags: 1, type: 1, hint: 54, size: 1448, start: 34, offset: 16, buffers: 1 },
    });
    expect(digests([second?.bytes.subarray(12, second.len) ?? noise(1)])).toEqual(digests([long]));
    expect(right.device.stats.completed).toBe(0);
  });

  test("NW15, NW21, NB6: completes a checksum for a guest that does not", () => {
    const { left, right } = both();
    for (let bytes = 0; bytes < 70; bytes++) {
      const payload = noise(bytes, bytes);
      send(left, {}, tcpFrame({ payload, isPartial: true }));
      const [used] = right.used();
      expect(readWork(used?.bytes ?? noise(12)).flags).toBe(0);
      const whole = used?.bytes.subarray(12, used.len) ?? noise(60);
      expect(digests([whole])).toEqual(digests([tcpFrame({ payload })]));
    }
    expect(right.device.stats.completed).toBe(70);
  });

  test("NW15: a checksum of UDP that comes out as 0 is sent as 0xffff", () => {
    const { left, right } = both();
    const udp = Buffer.from([0, 7, 0, 9, 0, 10, 0, 0, 0, 0]);
    const pseudo = pseudoHeader(17, udp.length);
    udp.writeUInt16BE(internetChecksum(Buffer.concat([pseudo, udp])), 8); // so that all is 0
    udp.writeUInt16BE(~internetChecksum(pseudo) & 0xffff, 6);
    const addresses = { source: "10.0.0.1", destination: "10.0.0.2" };
    const packet = { ...addresses, to: card(2), from: card(1), protocol: 17, payload: udp };
    send(left, { offset: 6 }, ipFrame(packet));
    expect(right.take()[0]?.readUInt16BE(40)).toBe(0xffff);
  });

  test("NW15, NB6: cuts a long segment for a guest that does not take it", () => {
    const flags = FIN | PSH | ACK | CWR;
    const options = noise(12);
    for (const [bytes, size] of [
      [60_000, 1448],
      [1448 * 3, 1448],
      [5001, 1001],
      [100, 1448],
      [0, 1448],
    ] as const) {
      const { left, right } = both();
      const payload = noise(bytes, size);
      const whole = { payload, flags, options, seq: 0xffff_fff0, id: 0xfffe, isPartial: true };
      send(left, { ...SEGMENTS, size, hint: 0xffff }, tcpFrame(whole));
      const used = right.used();
      expect(used.map((one) => readWork(one.bytes))).toEqual(
        used.map(() => ({ ...NO_WORK, buffers: 1 })),
      );
      const segments = used.map(({ bytes: b, len }) => parseTcp(b.subarray(12, len)));
      expect(segments).toHaveLength(Math.max(1, Math.ceil(bytes / size)));
      expect(digests([Buffer.concat(segments.map((one) => one.payload))])).toEqual(
        digests([payload]),
      );
      segments.forEach((one, i) => {
        const isLast = i === segments.length - 1;
        expect(one.isGood).toBe(true);
        expect(one.payload.length).toBeLessThanOrEqual(size);
        expect(one.seq).toBe((0xffff_fff0 + i * size) >>> 0);
        expect(one.id).toBe((0xfffe + i) & 0xffff);
        expect(one.flags).toBe(ACK | (i === 0 ? CWR : 0) | (isLast ? FIN | PSH : 0));
        expect(one.options.equals(options)).toBe(true);
      });
    }
  });

  test("NB6: cuts it for a guest that takes checksums alone, and one with options of IPv4", () => {
    const { left, right } = both({}, { features: [VIRTIO_NET_F_GUEST_CSUM] });
    const ipOptions = Buffer.from([1, 1, 1, 0]);
    const payload = noise(3000);
    send(left, { ...SEGMENTS, start: 38 }, tcpFrame({ payload, ipOptions, isPartial: true }));
    const segments = right.take().map(parseTcp);
    expect(segments.map((one) => [one.isGood, one.payload.length])).toEqual([
      [true, 1448],
      [true, 1448],
      [true, 104],
    ]);
  });

  test("NW3, NB7: of a long segment the parts are held against the receiver's MTU", () => {
    for (const features of [TAKES, []]) {
      const { left, right } = both({ mtu: 9000 }, { ...ROOM, rxBuffers: 100, features });
      send(left, { ...SEGMENTS, size: 1460 }, long);
      expect(right.take().length).toBeGreaterThan(0);
      send(left, { ...SEGMENTS, size: 1461 }, long);
      expect(right.take()).toEqual([]);
      expect(right.device.stats.dropped.tooLong).toBe(1);
      left.tx.used();
      send(left, { ...SEGMENTS, size: 8961 }, long);
      expect(left.device.stats.dropped.tooLong).toBe(1);
    }
  });

  test("NW23: never says that a checksum was verified, and asks for none without the feature", () => {
    const { left, right } = both({}, { features: TAKES, ...ROOM });
    send(left, { flags: 2 }, tcpFrame());
    send(left, { flags: 0 }, tcpFrame());
    expect(right.used().map(({ bytes }) => readWork(bytes))).toEqual([
      { ...NO_WORK, buffers: 1 },
      { ...NO_WORK, buffers: 1 },
    ]);
  });

  test("NW14: relies on no hint, and on no checksum", () => {
    const { left, right } = both();
    const broken = tcpFrame({ payload: noise(2000), isPartial: true });
    broken.writeUInt16BE(0xdead, 24); // of IPv4: it is made anew
    for (const hint of [0, 1, 0xffff]) {
      send(left, { ...SEGMENTS, hint }, broken);
      expect(right.take().map((one) => parseTcp(one).isGood)).toEqual([true, true]);
    }
  });

  test("a frame with work waits for buffers like any other", () => {
    const { left, right } = both({}, { features: TAKES, rxBuffers: 0 });
    send(left, SEGMENTS, long);
    expect(right.device.waiting).toBe(1);
    right.post(1, [12, 65550]);
    right.halt();
    const [used] = right.used(false);
    expect(readWork(used?.bytes ?? noise(12))).toMatchObject({ flags: 1, type: 1, size: 1448 });
    expect(digests([used?.bytes.subarray(12, used.len) ?? noise(1)])).toEqual(digests([long]));
  });

  test("NB9: a capture has the frame as it was sent, and as it arrived", () => {
    const records: Uint8Array[] = [];
    const capture = new FrameCapture((bytes) => records.push(bytes.slice()), new ManualClock());
    const { left, right } = both({ capture });
    send(left, SEGMENTS, long);
    expect(right.take()).toHaveLength(42);
    expect(records).toHaveLength(2); // the file's header, and one frame
    expect(digests([records[1]?.subarray(16) ?? noise(1)])).toEqual(digests([long]));
  });

  test("NG4: segments that make no sense are dropped", () => {
    const guests = both();
    const tcp = (change: (b: Buffer) => void): [Work, Buffer] => {
      const bytes = tcpFrame({ payload: noise(2000), isPartial: true });
      change(bytes);
      return [SEGMENTS, bytes];
    };
    const cut = tcpFrame({ payload: noise(0), isPartial: true });
    const bad: [Work, Uint8Array][] = [
      [{ ...SEGMENTS, flags: 0 }, long],
      [{ ...SEGMENTS, size: 0 }, long],
      [{ ...SEGMENTS, size: 1 }, long],
      [{ ...SEGMENTS, size: 480 }, long],
      ...[2, 3, 4, 5, 0x81, 0xff].map((type): [Work, Buffer] => [{ ...SEGMENTS, type }, long]),
      [{ ...SEGMENTS, start: 33 }, long],
      [{ ...SEGMENTS, offset: 6 }, long],
      [SEGMENTS, frame(card(2), card(1), 0x88b5, noise(2000))],
      [SEGMENTS, cut.subarray(0, 53)],
      [SEGMENTS, cut.subarray(0, 34)],
      tcp((b) => b.writeUInt8(0x65, 14)),
      tcp((b) => b.writeUInt8(0x44, 14)),
      tcp((b) => b.writeUInt8(17, 23)),
      tcp((b) => b.writeUInt16BE(1999, 16)),
      tcp((b) => b.writeUInt16BE(0x2000, 20)),
      tcp((b) => b.writeUInt16BE(1, 20)),
      tcp((b) => b.writeUInt8(0x40, 46)),
      [SEGMENTS, lying(15)],
    ];
    for (const [work, bytes] of bad) {
      send(guests.left, work, bytes);
      guests.left.tx.used();
    }
    const { left, right } = guests;
    expect(left.device.stats.dropped.offload + right.device.stats.dropped.offload).toBe(bad.length);
    expect(right.take()).toEqual([]);
    send(left, {}, tcpFrame({ isPartial: true }));
    expect(right.take()).toHaveLength(1);
  });

  test("NG2: with segments a frame has 65,550 bytes at most", () => {
    const { left, right } = both({}, { features: TAKES, rxBuffers: 4, rxBuffer: [12, 70_000] });
    const longest = tcpFrame({ payload: noise(65_535 - 40), isPartial: true });
    send(left, SEGMENTS, longest);
    expect(digests(right.take())).toEqual(digests([longest]));
    send(left, SEGMENTS, Buffer.concat([longest, noise(2)]));
    expect(left.device.stats.dropped.tooLong).toBe(1);
  });

  test("NG5: a checksum outside of the frame, or in the Ethernet header", () => {
    const { left, right } = both();
    const bytes = tcpFrame({ payload: noise(7), isPartial: true });
    const places = [
      [0, 16],
      [13, 2],
      [bytes.length - 17, 16],
      [0xffff, 0xffff],
      [34, 0xffff],
    ] as const;
    for (const [start, offset] of places) send(left, { start, offset }, bytes);
    expect(left.device.stats.dropped.offload).toBe(places.length);
    for (const [start, offset] of [
      [14, 0],
      [bytes.length - 2, 0],
      [35, 1],
    ] as const) {
      send(left, { start, offset }, bytes);
    }
    expect(right.take()).toHaveLength(3);
  });

  test("NG6: the hint of the headers' length may be anything", () => {
    const { left, right } = both({}, { features: TAKES, ...ROOM });
    for (const hint of [0, 1, 0xffff]) send(left, { ...SEGMENTS, hint }, long);
    expect(right.used().map(({ bytes }) => readWork(bytes).hint)).toEqual([54, 54, 54]);
  });

  test("NG11: headers that change while the frame is cut are those that were checked", () => {
    const { left, right } = both();
    const whole = tcpFrame({ payload: noise(3000), isPartial: true });
    const { u8 } = left.memory;
    const copy = u8.subarray.bind(u8);
    left.tx.add([workHeader(SEGMENTS), whole]);
    const at = Buffer.from(u8.buffer).indexOf(whole);
    let reads = 0;
    u8.subarray = (start?: number, end?: number) => {
      if (start === at) reads++;
      else if (reads === 2) u8.fill(0xff, at, at + 54); // all headers have been copied
      return copy(start, end);
    };
    left.device.notify(1);
    left.halt();
    expect(right.take().map((one) => parseTcp(one).isGood)).toEqual([true, true, true]);
    expect([u8[at], u8[at + 53]]).toEqual([0xff, 0xff]);
  });

  test("a network that is given a frame with work has the work beside it", () => {
    let seen: unknown;
    const network: Network = {
      carriesOffloads: true,
      join: () => ({
        ...{ hasLink: true, flush() {}, forget() {}, leave() {} },
        send({ offload, bytes }) {
          seen = { ...offload, bytes };
        },
      }),
    };
    const guest = new NetPuppet({ rings, network, features: SENDS });
    send(guest, SEGMENTS, long);
    const work = { checksumStart: 34, checksumOffset: 16, segmentBytes: 1448, headerBytes: 54 };
    expect(seen).toEqual({ ...work, bytes: long.length });
  });
});

const NO_WORK = { flags: 0, type: 0, hint: 0, size: 0, start: 0, offset: 0 };

/** A frame whose header of TCP has more words than the frame. */
function lying(words: number): Buffer {
  const bytes = tcpFrame({ payload: noise(10), isPartial: true });
  bytes[46] = words << 4;
  return bytes;
}

test("a frame of a network may lie in two parts", () => {
  const bytes = tcpFrame();
  const whole = new WholeFrame(bytes.subarray(0, 54), bytes.subarray(54));
  expect([whole.bytes, whole.parts.length, whole.offload]).toEqual([bytes.length, 2, null]);
});
