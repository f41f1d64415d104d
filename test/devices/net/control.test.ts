// The control queue of the network device, and what its commands change, on every kind of ring.
import { describe, expect, test } from "vitest";
import {
  VIRTIO_NET_F_CTRL_RX,
  VIRTIO_NET_F_CTRL_VQ,
  VIRTIO_NET_F_GUEST_ANNOUNCE,
  VIRTIO_NET_F_MQ,
} from "../../../abi/net.ts";
import { BROADCAST, card, digests, frame, mac, noise } from "../../support/frames.ts";
import { type NetPuppet, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { tcpFrame } from "../../support/tcp-frames.ts";

const TYPE = 0x88b5;
const GROUP = "01:00:5e:00:00:07";
const [CONTROL, PAIRS] = [
  [VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_CTRL_RX],
  [VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_MQ],
];
const [OK, ERR] = [0, 1];

const command = (kind: number, number: number, ...data: Uint8Array[]) => [
  Buffer.concat([Buffer.from([kind, number]), ...data]),
  1,
];
const table = (...macs: string[]) => {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(macs.length);
  return Buffer.concat([count, ...macs.map(mac)]);
};
const usePairs = (count: number) => command(4, 0, Buffer.from([count & 255, count >> 8]));

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  const both = (right = {}) => pair({ rings }, { rings, features: CONTROL, ...right });
  const four = () => both({ features: PAIRS, pairs: 4 });
  const ack = (guest: NetPuppet, pieces: readonly (Uint8Array | number)[]) =>
    guest.command(pieces).ack;

  test("NW1, NW2: offers pairs if it has some, and says how many", () => {
    const bits = (options: object) => both({ features: [], ...options }).right.device.features;
    const has = (features: bigint, bit: number) => ((features >> BigInt(bit)) & 1n) === 1n;
    expect([{}, { pairs: 1 }, { pairs: 8 }].map((one) => has(bits(one), VIRTIO_NET_F_MQ))).toEqual([
      ...[false, false, true],
    ]);
    const { device } = both({ pairs: 8, features: [] }).right;
    expect(new DataView(device.config.buffer).getUint16(8, true)).toBe(8);
    expect(device.queueSizesMax).toHaveLength(17);
    for (const pairs of [0, 9, 1.5, -1]) expect(() => both({ pairs })).toThrow(RangeError);
    for (const bit of [VIRTIO_NET_F_CTRL_RX, VIRTIO_NET_F_GUEST_ANNOUNCE, VIRTIO_NET_F_MQ]) {
      expect(device.accepts(1n << BigInt(bit))).toBe(false);
    }
  });

  test("NW27: answers each command with one byte, before its chain is used", () => {
    const { right } = both();
    expect(right.command(command(0, 0, Buffer.from([1])))).toEqual({ len: 1, ack: OK });
    expect(right.command(command(9, 0, Buffer.from([1])))).toEqual({ len: 1, ack: ERR });
  });

  test("NW27: refuses commands that it does not know, or that are too short", () => {
    const { right } = both({ features: [...CONTROL, VIRTIO_NET_F_MQ], pairs: 2 });
    const on = Buffer.from([1]);
    for (const bad of [
      command(0, 2, on), // RX_EXTRA
      command(0, 0),
      command(0, 1),
      command(1, 0),
      command(1, 0, table(card(5))),
      command(1, 1, mac(card(5))), // CTRL_MAC_ADDR
      command(2, 0, on, on), // VLAN
      command(3, 0), // GUEST_ANNOUNCE
      command(4, 0),
      command(4, 0, on),
      command(4, 1, on, on),
      command(5, 0, noise(8)),
      [Buffer.from([0]), 1],
      [Buffer.alloc(1025), 1],
      [1],
    ]) {
      expect(right.command(bad)).toEqual({ len: 1, ack: ERR });
    }
    expect(right.device.stats.commandsRefused).toBe(15);
  });

  test("NW27: commands of features that were not negotiated are unknown", () => {
    const { right } = both({ features: [VIRTIO_NET_F_CTRL_VQ], pairs: 2 });
    for (const one of [
      command(0, 0, Buffer.from([1])),
      command(1, 0, table(), table()),
      command(3, 0),
      usePairs(2),
    ]) {
      expect(ack(right, one)).toBe(ERR);
    }
  });

  test("NG10: half a command, no byte for the answer, a table of 2^32 - 1 addresses", () => {
    const { left, right } = both();
    expect(right.command([noise(10)])).toMatchObject({ len: 0 });
    expect(right.device.stats.rejected).toBe(1);
    const endless = Buffer.from([0xff, 0xff, 0xff, 0xff]);
    expect(ack(right, command(1, 0, endless, mac(card(3))))).toBe(ERR);
    expect(ack(right, command(1, 0, table(), endless))).toBe(ERR);
    const many = Array.from({ length: 65 }, (_, i) => card(i));
    expect(ack(right, command(1, 0, table(...many), table()))).toBe(ERR);
    expect(ack(right, command(1, 0, table(...many.slice(1)), table(...many.slice(1))))).toBe(OK);
    const pieces = [...command(0, 0, Buffer.from([1]))];
    const split = [Buffer.from([0]), Buffer.from([0]), Buffer.from([1]), 1, 5];
    expect(right.command(split).len).toBe(1);
    expect(right.command(pieces)).toEqual({ len: 1, ack: OK });
    left.send(frame(card(2), card(1), TYPE, noise(60)));
    expect(right.take()).toHaveLength(1);
    expect(right.rings.flatMap(({ faults }) => faults)).toEqual([]);
  });

  test("NG10: a storm of commands is answered, each of them", () => {
    const { right } = both();
    for (let i = 0; i < 1000; i++) expect(ack(right, command(0, 0, Buffer.from([i & 1])))).toBe(OK);
  });

  test("NW31: takes what is for its address, for all, or in its table, which is empty at first", () => {
    const { left, right } = both();
    const to = [card(2), BROADCAST, GROUP, card(9)];
    const arrive = () => {
      left.tx.used();
      left.send(...to.map((one, i) => frame(one, card(1), TYPE, noise(50, i))));
      const got = digests(right.take());
      return to.filter((one, i) =>
        got.includes(digests([frame(one, card(1), TYPE, noise(50, i))])[0] as string),
      );
    };
    expect(arrive()).toEqual([card(2), BROADCAST]);
    expect(right.device.stats.dropped.filtered).toBe(2);
    expect(ack(right, command(1, 0, table(card(9)), table()))).toBe(OK);
    expect(arrive()).toEqual([card(2), BROADCAST, card(9)]);
    expect(ack(right, command(1, 0, table(), table(GROUP)))).toBe(OK);
    expect(arrive()).toEqual([card(2), BROADCAST, GROUP]);
    expect(ack(right, command(1, 0, table(), table()))).toBe(OK);
    expect(ack(right, command(0, 1, Buffer.from([1])))).toBe(OK); // all groups
    expect(arrive()).toEqual([card(2), BROADCAST, GROUP]);
    expect(ack(right, command(0, 0, Buffer.from([1])))).toBe(OK); // everything
    expect(arrive()).toEqual(to);
    right.device.reset();
    right.boot();
    expect(arrive()).toEqual([card(2), BROADCAST]);
  });

  test("NW31: a driver without the feature gets everything", () => {
    const { left, right } = both({ features: [] });
    left.send(frame(card(9), card(1), TYPE, noise(50)));
    expect(right.take()).toHaveLength(1);
  });

  test("NW28: fills the first pair alone until a command names more, and none beyond those", () => {
    const { left, right } = four();
    const arrive = () => {
      left.tx.used();
      left.send(...flows());
      return [1, 2, 3, 4].map((one) => right.takeFrom(one).length);
    };
    for (const one of [1, 2, 3, 4]) right.postTo(one, 100);
    expect(arrive()).toEqual([16, 0, 0, 0]);
    for (const bad of [0, 5, 0x8000, 0xffff]) expect(ack(right, usePairs(bad))).toBe(ERR);
    expect(right.device.pairs).toBe(1);
    expect(ack(right, usePairs(3))).toBe(OK);
    for (const one of [1, 2, 3]) {
      right.sendOn(one, ...flows(true).filter((_, i) => i % 3 === one - 1));
    }
    expect(arrive()).toEqual([6, 5, 5, 0]);
    expect(ack(right, usePairs(1))).toBe(OK);
    expect(arrive()).toEqual([16, 0, 0, 0]);
  });

  test("NW29: takes frames of the pairs that are in use, and no others", () => {
    const { left, right } = four();
    right.sendOn(2, ...flows(true));
    expect(left.take()).toEqual([]);
    expect(ack(right, usePairs(2))).toBe(OK);
    right.halt();
    right.settle();
    expect(left.take()).toHaveLength(16);
    right.sendOn(3, ...flows(true));
    expect(left.take()).toEqual([]);
  });

  test("NW30: a flow comes on the pair on which the guest sent it last", () => {
    const { left, right } = four();
    for (const one of [1, 2, 3, 4]) right.postTo(one, 50);
    expect(ack(right, usePairs(4))).toBe(OK);
    for (const one of [3, 1, 4, 2, 2]) {
      right.sendOn(one, flows(true)[5] as Buffer);
      left.send(flows()[5] as Buffer);
      const counts = [1, 2, 3, 4].map((other) => right.takeFrom(other).length);
      expect(counts).toEqual([1, 2, 3, 4].map((other) => (other === one ? 1 : 0)));
    }
  });

  test("NW30: frames of no flow, and those of pairs without a queue, come on the first", () => {
    const { left, right } = four();
    expect(ack(right, usePairs(4))).toBe(OK);
    right.sendOn(3, flows(true)[5] as Buffer);
    right.device.stopped(4); // receiveq3
    left.send(flows()[5] as Buffer, frame(card(2), card(1), TYPE, noise(60)));
    expect(right.takeFrom(1)).toHaveLength(2);
  });

  test("NG8: a storm on all pairs moves 64 frames a turn, and serves each pair", () => {
    const { left, right, clock } = four();
    expect(ack(right, usePairs(4))).toBe(OK);
    left.post(200);
    for (const ring of [1, 3, 5, 7]) {
      for (let i = 0; i < 40; i++)
        right.rings[ring]?.add([Buffer.alloc(12), flows(true)[i % 16] ?? noise(60)]);
    }
    right.device.notify(1);
    right.halt();
    expect(left.device.stats.framesToGuest).toBe(64);
    while (clock.settle() > 0);
    expect(left.device.stats.framesToGuest).toBe(160);
  });

  test("frames apart by size, if the device is told to: long ones take the second pair", () => {
    const { left, right } = pair(
      { rings, mtu: 9000 },
      { rings, mtu: 9000, features: PAIRS, pairs: 2, steer: "size" },
    );
    right.postTo(2, 4, [12, 9014]);
    expect(ack(right, usePairs(2))).toBe(OK);
    const frames = [1514, 1515, 9014, 60].map((bytes) =>
      frame(card(2), card(1), TYPE, noise(bytes - 14)),
    );
    left.send(...frames);
    expect(right.takeFrom(1).map(({ length }) => length)).toEqual([1514, 60]);
    expect(right.takeFrom(2).map(({ length }) => length)).toEqual([1515, 9014]);
  });

  test("frames that wait in a pair that is given up are dropped and counted", () => {
    const { left, right } = four();
    expect(ack(right, usePairs(2))).toBe(OK);
    right.sendOn(2, flows(true)[5] as Buffer);
    left.send(flows()[5] as Buffer);
    expect(right.device.waiting).toBe(1);
    expect(ack(right, usePairs(1))).toBe(OK);
    expect([right.device.waiting, right.device.stats.dropped.noLink]).toEqual([0, 1]);
  });

  test("NW32: wants an announcement after a restore, until it is acknowledged", () => {
    const features = [VIRTIO_NET_F_CTRL_VQ, VIRTIO_NET_F_GUEST_ANNOUNCE];
    const { right } = both({ features });
    const status = () => new DataView(right.device.config.buffer).getUint16(6, true);
    const saved: unknown = JSON.parse(JSON.stringify(right.device.snapshots.save()));
    expect(status()).toBe(1);
    right.device.snapshots.restore(saved);
    expect([status(), right.configChanges]).toEqual([3, 1]);
    const ring = right.rings[2];
    ring?.add(command(3, 0));
    ring?.kick();
    const { view } = right.memory;
    const before: number[] = [];
    const store = view.setUint16.bind(view);
    view.setUint16 = (...all) => {
      before.push(status());
      store(...all);
    };
    right.device.notify(2);
    ring?.queue.signal();
    expect(before[0]).toBe(1); // cleared before the chain was used
    expect([status(), ring?.used()[0]?.bytes.at(-1)]).toEqual([1, OK]);
    expect(right.command(command(3, 1))).toMatchObject({ ack: ERR });
  });

  test("a snapshot holds the pairs and the filter", () => {
    const features = [...CONTROL, VIRTIO_NET_F_MQ];
    const { left, right } = both({ features, pairs: 3 });
    expect(ack(right, usePairs(3))).toBe(OK);
    expect(ack(right, command(1, 0, table(card(9)), table()))).toBe(OK);
    const saved: unknown = JSON.parse(JSON.stringify(right.device.snapshots.save()));
    right.device.reset();
    right.boot();
    expect(right.device.pairs).toBe(1);
    right.device.snapshots.restore(saved);
    expect(right.device.pairs).toBe(3);
    left.send(frame(card(9), card(1), TYPE, noise(50)));
    expect(right.take()).toHaveLength(1);
    for (const wrong of [{ pairs: 4 }, { filter: null }, { filter: { table: [-1] } }]) {
      expect(() => right.device.snapshots.restore({ ...(saved as object), ...wrong })).toThrow();
    }
  });
});

/** Sixteen flows of TCP to the right guest, or back. */
function flows(isBack = false): Buffer[] {
  return Array.from({ length: 16 }, (_, i) => {
    const bytes = tcpFrame(isBack ? { to: card(1), from: card(2) } : {});
    const [at, other] = isBack ? [36, 34] : [34, 36];
    bytes.writeUInt16BE(40_000 + i * 97, at);
    bytes.writeUInt16BE(80, other);
    return bytes;
  });
}
