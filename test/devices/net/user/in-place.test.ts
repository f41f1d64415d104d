// Reading the host's sockets into buffers of the guest, and work that the two sides leave undone.
import { describe, expect, test } from "vitest";
import {
  VIRTIO_NET_F_CSUM,
  VIRTIO_NET_F_GUEST_CSUM,
  VIRTIO_NET_F_GUEST_TSO4,
  VIRTIO_NET_F_HOST_TSO4,
  VIRTIO_NET_F_MRG_RXBUF,
} from "../../../../abi/net.ts";
import { TH_RST } from "../../../../abi/tcp.ts";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange, type TcpPeer } from "../../../support/tcp-peer.ts";
import type { TcpArrival } from "../../../support/transport-frames.ts";
import { UserLab, type UserLabOptions } from "../../../support/user-lab.ts";
import type { FakeSocket } from "../../../support/vsock-puppet.ts";

const SUMS = [VIRTIO_NET_F_CSUM, VIRTIO_NET_F_GUEST_CSUM];
const ALL = [...SUMS, VIRTIO_NET_F_GUEST_TSO4, VIRTIO_NET_F_HOST_TSO4];

describe.each(RING_KINDS)("in place, rings of $name", (rings) => {
  const create = ({ guest = {}, ...options }: UserLabOptions = {}) =>
    new UserLab({ allow: [5001], ...options, guest: { rings, features: SUMS, ...guest } });

  /** The host says all of `bytes`; the guest's TCP takes what comes. */
  function download(
    lab: UserLab,
    peer: TcpPeer,
    socket: FakeSocket,
    bytes: Uint8Array,
    isLost?: (segment: TcpArrival) => boolean,
  ): void {
    socket.say(bytes);
    exchange(lab, [peer], isLost);
    while (socket.deliver() > 0) exchange(lab, [peer], isLost);
  }

  /** A connection that has had a long read, after which the next one lands in the guest. */
  function bulk(lab: UserLab, port = 50000) {
    const { peer, socket } = connectPeer(lab, { port });
    const first = noise(20_000, port);
    download(lab, peer, socket, first);
    return { peer, socket, first };
  }

  test.each([
    ["a header and a page", [12, 4096], 4082],
    ["one piece", [65_612], 65_520],
    ["a header and a frame", [12, 65_600], 65_520],
    ["headers and pages", [78, 65_536], 65_520],
    ["small pieces", [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 30, 24, 8000], 8040],
  ] as const)("NZ10: buffers of %s: payload is copied nowhere", (_, rxBuffer, mtu) => {
    const lab = create({ guest: { rxBuffer, rxBuffers: 60, mtu, ringSize: 2048 } });
    const { peer, socket, first } = bulk(lab);
    const before = lab.guest.device.stats.copiedToGuest;
    const frames = lab.guest.device.stats.framesToGuest;
    const down = noise(500_001, 2);
    download(lab, peer, socket, down);
    expect(peer.received.equals(Buffer.concat([first, down]))).toBe(true);
    const { bytesInPlace, bytesCopiedOut, bytesRead, retransmitted } = lab.stats;
    expect([bytesInPlace, bytesCopiedOut, bytesRead]).toEqual([500_001, 0, 520_001]);
    expect(retransmitted).toBe(0);
    const headers = (lab.guest.device.stats.framesToGuest - frames) * 66;
    expect(lab.guest.device.stats.copiedToGuest - before).toBeLessThanOrEqual(headers);
  });

  test("NZ10: with 78 bytes for headers the payload begins on the page", () => {
    const lab = create({ guest: { rxBuffer: [78, 65_536] } });
    const { peer, socket } = bulk(lab);
    socket.say(noise(30_000));
    expect(lab.segments().map(({ options }) => options.length)).toEqual([12]);
    expect(peer.isReset).toBe(false);
    expect(lab.stats.bytesInPlace).toBe(30_000);
  });

  test("NZ10: a frame is within the MTU, its padding included", () => {
    const lab = create({ guest: { rxBuffer: [78, 65_536], mtu: 1500 } });
    const { peer, socket } = bulk(lab);
    download(lab, peer, socket, noise(200_000));
    const { framesToGuest } = lab.guest.device.stats;
    expect(peer.received.length).toBe(220_000);
    expect(lab.guest.device.stats.dropped.tooLong).toBe(0);
    expect(framesToGuest).toBeGreaterThan(200_000 / 1448);
    expect(Math.max(...peer.segments.map(({ payload }) => payload.length))).toBe(1460);
    expect(Math.max(...peer.segments.slice(-50).map(({ payload }) => payload.length))).toBe(1448);
  });

  test("NZ10: merged buffers are lent one by one", () => {
    const features = [...SUMS, VIRTIO_NET_F_MRG_RXBUF];
    const guest = { features, rxBuffer: [4096], rxBuffers: 60, mtu: 4000 };
    const lab = create({ guest });
    const { peer, socket, first } = bulk(lab);
    download(lab, peer, socket, noise(100_000, 7));
    expect(peer.received.equals(Buffer.concat([first, noise(100_000, 7)]))).toBe(true);
    expect(lab.stats.bytesInPlace).toBe(100_000);
  });

  test("NZ10: a guest that verifies checksums itself gets a copy", () => {
    const lab = create({ guest: { features: [] } });
    const { peer, socket } = bulk(lab);
    download(lab, peer, socket, noise(100_000));
    expect([peer.received.length, lab.stats.bytesInPlace]).toEqual([120_000, 0]);
    expect(lab.guest.device.stats.lent).toBe(0);
  });

  test("NZ10: with receive: staging nothing is read in place", () => {
    const lab = create({ receive: "staging" });
    const { peer, socket } = bulk(lab);
    download(lab, peer, socket, noise(100_000));
    expect([peer.received.length, lab.stats.bytesInPlace]).toEqual([120_000, 0]);
  });

  test("NZ10: a quiet connection gives its buffer back, and a busy one keeps it", () => {
    const lab = create({ guest: { rxBuffers: 2 } });
    const a = bulk(lab);
    const { rx } = lab.guest;
    const taken = () => rx.queue.inFlight;
    expect([taken(), a.socket.reader?.armed.buffer]).toEqual([1, lab.guest.memory.u8.buffer]);
    lab.advance(9);
    expect(a.socket.reader?.armed.buffer).toBe(lab.guest.memory.u8.buffer);
    lab.advance(1);
    expect(a.socket.reader?.armed.buffer).not.toBe(lab.guest.memory.u8.buffer);
    download(lab, a.peer, a.socket, noise(30_000, 5));
    expect(a.peer.received.length).toBe(50_000);
  });

  test("NZ10: the last buffer goes to the frame that needs it", () => {
    const lab = create({ guest: { rxBuffers: 1 } });
    const other = connectPeer(lab, { port: 50001 });
    const a = bulk(lab);
    expect(a.socket.reader?.armed.buffer).toBe(lab.guest.memory.u8.buffer);
    other.socket.say("hello");
    exchange(lab, [a.peer, other.peer]);
    expect(other.peer.received.toString()).toBe("hello");
    expect(a.socket.reader?.armed.buffer).not.toBe(lab.guest.memory.u8.buffer);
    download(lab, a.peer, a.socket, noise(90_000, 6));
    expect(a.peer.received.length).toBe(110_000);
  });

  test.each(["FIN", "error", "RST"])("NZ10: the buffer comes back at %s", (end) => {
    const lab = create({ guest: { rxBuffers: 1 } });
    const { peer, socket } = bulk(lab);
    expect(lab.guest.rx.queue.inFlight).toBe(1);
    if (end === "FIN") socket.events.end();
    else if (end === "error") socket.fail();
    else peer.reset();
    exchange(lab, [peer]);
    const next = connectPeer(lab, { port: 50002 });
    next.socket.say("next");
    exchange(lab, [peer, next.peer]);
    expect(next.peer.received.toString()).toBe("next");
  });

  test("NZ10: a driver that is reset, or stops the queue, gets no byte any more", () => {
    for (const stop of ["reset", "stop"]) {
      const lab = create();
      const { socket } = bulk(lab);
      expect(socket.reader?.armed.buffer).toBe(lab.guest.memory.u8.buffer);
      if (stop === "reset") lab.guest.device.reset();
      else lab.guest.device.stopped(0);
      const before = Buffer.from(lab.guest.memory.u8);
      const isReset = socket.calls.includes("reset");
      if (!isReset) socket.say(noise(1000, 9));
      expect(before.equals(lab.guest.memory.u8)).toBe(true);
      expect(isReset || socket.reader?.armed.buffer !== lab.guest.memory.u8.buffer).toBe(true);
    }
  });

  test("NZ10: bytes beyond a window that has closed meanwhile are copied out, and kept", () => {
    const lab = create();
    const { peer, socket, first } = bulk(lab);
    peer.isReading = false;
    const down = noise(3 << 20, 3);
    download(lab, peer, socket, down);
    expect(peer.received.length).toBeLessThan(down.length);
    for (let i = 0; i < 40 && peer.received.length < first.length + down.length; i++) {
      peer.read();
      exchange(lab, [peer]);
      while (socket.deliver() > 0) exchange(lab, [peer]);
    }
    expect(peer.received.equals(Buffer.concat([first, down]))).toBe(true);
    expect([lab.stats.ended.hole, lab.stats.retransmitted]).toEqual([0, 0]);
  });

  test("NB25: a frame that was read in place and dropped is a hole, which ends the connection", () => {
    const lab = create();
    const { peer, socket } = bulk(lab);
    const loses = ({ payload }: TcpArrival) => payload.length > 0;
    download(lab, peer, socket, noise(30_000), loses);
    for (let i = 0; i < 8 && !peer.isReset; i++) {
      lab.advance(2000);
      exchange(lab, [peer], loses);
    }
    expect([peer.isReset, socket.calls.includes("reset")]).toEqual([true, true]);
    expect([lab.stats.ended.hole, lab.stats.ended.vanished]).toEqual([1, 0]);
    expect(lab.stats.retransmitted).toBe(0);
  });

  test("NB25: segments after the hole tell of it at once", () => {
    const lab = create();
    const { peer, socket } = bulk(lab);
    let lost = 0;
    socket.say(noise(200_000));
    for (const segment of lab.segments()) {
      if (segment.payload.length > 0 && lost++ === 0) continue;
      peer.handle(segment);
      peer.finish();
    }
    exchange(lab, [peer]);
    expect([peer.isReset, lab.stats.ended.hole]).toEqual([true, 1]);
    expect(peer.segments.at(-1)?.flags).toBe(TH_RST | 0x10);
  });

  test("NB25: a guest that is slow to answer is asked, and keeps its connection", () => {
    const lab = create();
    const { peer, socket, first } = bulk(lab);
    socket.say(noise(30_000, 4));
    const held = lab.segments();
    lab.advance(2000);
    for (const segment of [...held, ...lab.segments()]) peer.handle(segment);
    peer.finish();
    exchange(lab, [peer]);
    expect(peer.received.equals(Buffer.concat([first, noise(30_000, 4)]))).toBe(true);
    expect([peer.isReset, lab.stats.ended.hole]).toEqual([false, 0]);
  });

  describe("a guest that posts no buffer", () => {
    const dry = (whenOut: "stop" | "copy" | "drop") => {
      const lab = create({ whenOut, guest: { rxBuffers: 4 } });
      const { peer, socket, first } = bulk(lab);
      socket.say(noise(400_000, 8));
      const seen = lab.segments(false);
      socket.deliver();
      for (const segment of [...seen, ...lab.segments(false)]) peer.handle(segment);
      return { lab, peer, socket, all: Buffer.concat([first, noise(400_000, 8)]) };
    };
    const goOn = ({ lab, peer, socket }: ReturnType<typeof dry>) => {
      lab.guest.post(24, [12, 65_534]);
      lab.guest.halt();
      peer.finish();
      exchange(lab, [peer]);
      while (socket.deliver() > 0) exchange(lab, [peer]);
    };

    test("NZ10: stop leaves the bytes to the host's kernel, and reads on with the next", () => {
      const run = dry("stop");
      expect(run.socket.paused).toBe(true);
      expect(run.lab.stats.bytesRead).toBe(run.peer.received.length);
      goOn(run);
      expect(run.peer.received.equals(run.all)).toBe(true);
    });

    test("NZ10: copy reads ahead into memory of the network", () => {
      const run = dry("copy");
      expect(run.lab.stats.bytesRead).toBeGreaterThan(run.peer.received.length);
      expect(run.lab.workshop.toGuest.available).toBeLessThan(512);
      goOn(run);
      expect(run.peer.received.equals(run.all)).toBe(true);
    });

    test("NZ10: drop loses frames, counts them, and sends them again", () => {
      const run = dry("drop");
      expect(run.lab.stats.dropped.noBuffer).toBeGreaterThan(0);
      goOn(run);
      for (let i = 0; i < 40 && run.peer.received.length < run.all.length; i++) {
        run.lab.advance(200);
        goOn(run);
      }
      expect(run.peer.received.equals(run.all)).toBe(true);
      expect(run.lab.stats.retransmitted).toBeGreaterThan(0);
    });
  });
});

describe.each(RING_KINDS)("work that is left undone, rings of $name", (rings) => {
  const create = (features: readonly number[], mtu = 1500) =>
    new UserLab({ allow: [5001], receive: "staging", guest: { rings, features, mtu } });

  test("NW23: a guest that takes checksums unmade gets segments without, and others with", () => {
    for (const features of [[], SUMS]) {
      const lab = create(features);
      const { peer, socket } = connectPeer(lab);
      socket.say(noise(1000));
      const [segment] = lab.segments();
      expect([segment?.isSound, segment?.isPartial]).toEqual(
        features.length === 0 ? [true, false] : [false, true],
      );
      expect(peer.isOpen).toBe(true);
    }
  });

  test("NW22: a guest that takes long segments gets 64 KiB at an MTU of 1500", () => {
    const lab = create(ALL);
    const { peer, socket } = connectPeer(lab, { mss: 1460 });
    const down = noise(300_000, 1);
    socket.say(down);
    exchange(lab, [peer]);
    while (socket.deliver() > 0) exchange(lab, [peer]);
    expect(peer.received.equals(down)).toBe(true);
    const lengths = peer.segments.map(({ payload }) => payload.length);
    expect(Math.max(...lengths)).toBe(44 * 1460);
    expect(lab.guest.device.stats.completed).toBe(0);
  });

  test("NW25: partial checksums and long segments of the guest are taken as they are", () => {
    const lab = create(ALL);
    const { peer, socket } = connectPeer(lab);
    lab.leavesSums = true;
    peer.peerMss = 60_000;
    const up = noise(500_000, 2);
    peer.send(up);
    exchange(lab, [peer]);
    expect(socket.received.equals(up)).toBe(true);
    expect(Object.values(lab.stats.dropped).every((count) => count === 0)).toBe(true);
    expect(lab.guest.device.stats.framesFromGuest).toBeLessThan(40);
  });

  test("NG5: a checksum that was asked for elsewhere says nothing about that of TCP", () => {
    const lab = create(ALL);
    const { peer } = connectPeer(lab);
    lab.leavesSums = true;
    lab.workStart = 36;
    peer.send(noise(100));
    expect(lab.stats.dropped.checksum).toBe(1);
  });
});
