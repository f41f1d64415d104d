// The memory for connections is used up: nothing is lost, and nothing grows.
import { describe, expect, test } from "vitest";
import { SLAB_BYTES, SlabPool } from "../../../../host/devices/net/user/slabs.ts";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange } from "../../../support/tcp-peer.ts";
import { UserLab } from "../../../support/user-lab.ts";

test("a pool lends what was given back last, and tells when it is low, and when it is not", () => {
  const pool = new SlabPool(0, 4);
  const changes: boolean[] = [];
  pool.onChange = () => changes.push(pool.isLow);
  const taken = [pool.take(), pool.take(), pool.take(), pool.take()];
  expect([taken, changes]).toEqual([[0, 1, 2, 3].map((n) => n * SLAB_BYTES), [true]]);
  expect([pool.take(), pool.available]).toEqual([-1, 0]);
  pool.give(SLAB_BYTES);
  pool.give(0);
  expect([pool.available, changes]).toEqual([2, [true, false]]);
  expect([pool.take(), pool.take(), changes]).toEqual([0, SLAB_BYTES, [true, false, true]]);
});

describe.each(RING_KINDS)("a network with few slabs, rings of $name", (rings) => {
  const create = () => new UserLab({ allow: [5001], slabsEachWay: 8, guest: { rings } });

  test("NB25: sockets are not read while there is none, and all goes on when there is", () => {
    const lab = create();
    const all = Array.from({ length: 20 }, (_, n) => connectPeer(lab, { port: 50000 + n }));
    const peers = all.map(({ peer }) => peer);
    const bytes = noise(100_000, 1);
    for (const { socket } of all) {
      socket.unread = Buffer.from(bytes);
      socket.deliver();
    }
    expect(
      all.filter(({ socket }) => socket.unread.length === bytes.length).length,
    ).toBeGreaterThan(10);
    expect(all.every(({ socket }) => socket.paused)).toBe(true);
    expect(lab.workshop.toGuest.isLow).toBe(true);
    for (let round = 0; round < 100; round++) {
      exchange(lab, peers);
      for (const { socket } of all) socket.deliver();
    }
    expect(all.every(({ peer }) => peer.received.equals(bytes))).toBe(true);
    expect(peers.some(({ isReset }) => isReset)).toBe(false);
  });

  test("NB24: segments find no slab, are dropped and counted, and are taken when there is one", () => {
    const lab = create();
    const all = Array.from({ length: 12 }, (_, n) => connectPeer(lab, { port: 50000 + n }));
    const bytes = noise(60_000, 1);
    for (const { peer, socket } of all) {
      socket.taking = false;
      peer.send(bytes);
    }
    const peers = all.map(({ peer }) => peer);
    exchange(lab, peers);
    expect(lab.stats.dropped.noSlab).toBe(4);
    const late = all.filter(({ peer }) => peer.una !== peer.next);
    expect(late).toHaveLength(4);
    for (const { socket } of all.slice(0, 4)) socket.take();
    for (const { peer, socket } of late) {
      lab.tcp({
        ...{ sourcePort: peer.port, flags: 16, seq: peer.una, ack: peer.expected },
        payload: bytes,
      });
      socket.take();
    }
    exchange(lab, peers);
    for (const { socket } of all.slice(4)) if (socket.sending) socket.take();
    expect(all.every(({ socket }) => socket.received.equals(bytes))).toBe(true);
    expect(lab.workshop.toHost.available).toBe(8);
  });
});
