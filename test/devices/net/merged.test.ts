// Frames to the guest in several of its buffers (MRG_RXBUF), on every kind of ring.
import { describe, expect, test } from "vitest";
import {
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../../abi/net.ts";
import { VirtqUsed } from "../../../abi/virtio.ts";
import { card, digests, frame, noise } from "../../support/frames.ts";
import { type NetPuppet, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { readWork, tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const TYPE = 0x88b5;
const MERGING = [VIRTIO_NET_F_MRG_RXBUF];
const toRight = (bytes: number) => frame(card(2), card(1), TYPE, noise(bytes - 14, bytes));

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  const both = (a = {}, b = {}) =>
    pair({ rings, mtu: 65_520, ...a }, { rings, mtu: 65_520, features: MERGING, ...b });

  /** Frames that have arrived, and the buffers that each of them took. */
  function arrived(guest: NetPuppet, repost = true) {
    const frames: { buffers: number; bytes: Buffer; rooms: number[] }[] = [];
    const used = guest.used(repost);
    while (used.length > 0) {
      const { buffers } = readWork(used[0]?.bytes ?? noise(12));
      const own = used.splice(0, buffers);
      const all = Buffer.concat(own.map(({ bytes, len }) => bytes.subarray(0, len)));
      const rooms = own.map(({ bytes, len }) => bytes.length - len);
      frames.push({ buffers, bytes: all.subarray(12), rooms });
    }
    return frames;
  }

  test("NW1, NW20: offers it, unless the option takes it away", () => {
    const has = (options: object) =>
      (both(options).left.device.features >> BigInt(VIRTIO_NET_F_MRG_RXBUF)) & 1n;
    expect([has({}), has({ mergeable: false }), has({ offloads: false })]).toEqual([1n, 0n, 1n]);
  });

  test("NW20: fills all buffers of a frame but the last, with one header, and counts them", () => {
    for (const rxBuffer of [[12, 4096], [4108], [1526], [64], [12], [5, 7, 100]]) {
      const room = rxBuffer.reduce((sum, bytes) => sum + bytes, 0);
      const { left, right } = both({}, { rxBuffer, rxBuffers: 300 });
      const sizes = [14, room - 12, room - 11, room + 20, 9 * room, 9 * room - 12];
      for (const bytes of sizes.filter((one) => one >= 14)) {
        left.send(toRight(bytes));
        left.tx.used();
        const [one, ...others] = arrived(right);
        expect(others).toEqual([]);
        expect(one?.buffers).toBe(Math.ceil((bytes + 12) / room));
        expect(one?.rooms.slice(0, -1).every((left_) => left_ === 0)).toBe(true);
        expect(digests([one?.bytes ?? noise(1)])).toEqual(digests([toRight(bytes)]));
      }
    }
  });

  test("NW20: publishes all buffers of a frame with one move of the index", () => {
    const { left, right } = both({}, { rxBuffer: [12, 4096], rxBuffers: 64 });
    const { view } = right.memory;
    const at = right.rx.queue.rings.used + VirtqUsed.idx;
    const moves: number[] = [];
    const store = view.setUint16.bind(view);
    view.setUint16 = (place, value, little) => {
      if (place === at) moves.push(value);
      store(place, value, little);
    };
    left.send(toRight(20_000), toRight(100), toRight(65_000));
    expect(moves).toEqual([5, 6, 22]);
    expect(arrived(right).map(({ buffers }) => buffers)).toEqual([5, 1, 16]);
  });

  test("NW20, NB6: a long frame of TCP fills pages, with its work in the header", () => {
    const features = [...MERGING, VIRTIO_NET_F_GUEST_CSUM, VIRTIO_NET_F_GUEST_TSO4];
    const { left, right } = both({ features: [0, 11] }, { features, rxBuffer: [12, 4096] });
    const long = tcpFrame({ payload: noise(65_495), isPartial: true });
    left.sendRaw([workHeader({ type: 1, size: 1448 }), long]);
    const used = right.used();
    const work = { flags: 1, type: 1, hint: 54, size: 1448, start: 34, offset: 16, buffers: 16 };
    expect(readWork(used[0]?.bytes ?? noise(12))).toEqual(work);
    expect(used).toHaveLength(16);
  });

  test("NW19: without it a frame takes one buffer, and others stay available", () => {
    const { left, right } = both({}, { features: [], rxBuffer: [12, 4096], rxBuffers: 20 });
    left.send(toRight(9000), toRight(4000));
    expect(arrived(right, false).map(({ buffers, bytes }) => [buffers, bytes.length])).toEqual([
      [1, 4000],
    ]);
    expect(right.device.stats.dropped.noFit).toBe(1);
  });

  test("NW26: drops a frame that exceeds all buffers that the guest ever had, and uses none", () => {
    const { left, right } = both({}, { rxBuffer: [12, 1000], rxBuffers: 3 });
    left.send(toRight(3037));
    expect(right.device.stats.dropped.noFit).toBe(1);
    left.send(toRight(3024));
    expect(arrived(right).map(({ buffers }) => buffers)).toEqual([3]);
    left.send(toRight(60), toRight(60), toRight(60));
    expect(arrived(right).map(({ buffers }) => buffers)).toEqual([1, 1, 1]);
  });

  test("NW26: a frame waits while the guest has buffers to give back", () => {
    const { left, right } = both({}, { rxBuffer: [12, 1000], rxBuffers: 6 });
    left.send(toRight(3000), toRight(3024), toRight(100));
    expect(arrived(right, false)).toHaveLength(2); // of three buffers each
    expect(right.device.waiting).toBe(1);
    right.post(6);
    right.halt();
    expect(arrived(right).map(({ bytes }) => bytes.length)).toEqual([100]);
  });

  test("NG7: buffers without room for a header are given back, and not waited for", () => {
    const { left, right } = both({}, { rxBuffers: 0 });
    right.post(3, [11]);
    right.post(2, [12, 20]);
    right.rx.add([noise(4), 1526]);
    right.halt();
    left.send(toRight(50));
    const used = right.used(false).filter(({ len }) => len > 0);
    expect(used.map(({ len }) => len)).toEqual([32, 30]);
    left.send(toRight(53));
    expect(right.device.waiting).toBe(1);
    right.post(2, [12, 20]);
    right.halt();
    expect(right.device.stats).toMatchObject({ rejected: 4, dropped: { noFit: 1 } });
    expect(right.device.waiting).toBe(0);
  });

  test("NG7: a frame in thousands of pieces", () => {
    const { left, right } = both({}, { rxBuffer: [12], rxBuffers: 1000 });
    left.send(toRight(11_988));
    expect(arrived(right).map(({ buffers }) => buffers)).toEqual([1000]);
    expect(right.rx.faults).toEqual([]);
  });

  test("NW34: picks the first buffer that holds a frame, or one of the smallest of all", () => {
    for (const [pick, rooms] of [
      ["first", [9012, 1526, 76]],
      ["fit", [76, 1526, 9012]],
    ] as const) {
      const { left, right } = both({}, { features: [], pick, rxBuffers: 0 });
      for (const bytes of [9012, 1526, 76]) right.post(1, [bytes]);
      right.halt();
      left.send(toRight(60), toRight(60), toRight(60));
      expect(right.used(false).map(({ bytes }) => bytes.length)).toEqual(rooms);
    }
  });

  test("counts buffers, their descriptors and their room", () => {
    const { left, right } = both({}, { rxBuffer: [12, 4096] });
    left.send(toRight(5000), toRight(100));
    expect(right.device.stats).toMatchObject({
      framesToGuest: 2,
      buffersToGuest: 3,
      descriptorsToGuest: 6,
      roomToGuest: 3 * 4108,
      copiedToGuest: 5100,
    });
  });
});
