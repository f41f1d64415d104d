// Bytes of connections of a `user` network: windows, back-pressure, and what is sent again.
import { describe, expect, test } from "vitest";
import { TH_ACK, TH_PUSH } from "../../../../abi/tcp.ts";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange, type TcpPeer } from "../../../support/tcp-peer.ts";
import type { TcpArrival } from "../../../support/transport-frames.ts";
import { UserLab, type UserLabOptions } from "../../../support/user-lab.ts";
import type { FakeSocket } from "../../../support/vsock-puppet.ts";

const MAX = 256 * 1024;

describe.each(RING_KINDS)("the bytes of a connection, rings of $name", (rings) => {
  const create = (options: UserLabOptions = {}) =>
    new UserLab({ allow: [5001], ...options, guest: { rings, ...options.guest } });

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

  test.each([
    [1460, 7],
    [8960, 4],
    [65480, 4],
    [536, null],
  ])("travel both ways whole, with MSS %i and shift %s", (mss, shift) => {
    const lab = create({ guest: { rxBuffers: 60 } });
    const { peer, socket } = connectPeer(lab, { mss, shift });
    const [up, down] = [noise(400_001, 1), noise(400_003, 2)];
    peer.send(up);
    download(lab, peer, socket, down);
    expect([socket.received.equals(up), peer.received.equals(down)]).toEqual([true, true]);
    expect(Math.max(...peer.segments.map(({ payload }) => payload.length))).toBe(mss);
    const { dropped, retransmitted } = lab.stats;
    expect([Object.values(dropped).every((count) => count === 0), retransmitted]).toEqual([
      true,
      0,
    ]);
    expect(lab.guest.device.stats.copiedToQueue).toBe(0);
  });

  test("travel whole over sockets that deliver chunks", () => {
    const lab = create();
    const peer = connectPeer(lab);
    peer.socket.canLand = false;
    const other = connectPeer(lab, { port: 50001 });
    other.socket.reader = null; // as net.Socket does it
    const down = noise(300_000, 3);
    for (let at = 0; at < down.length; ) {
      expect(other.socket.paused).toBe(false);
      other.socket.say(down.subarray(at, at + 65536));
      at += 65536;
      exchange(lab, [peer.peer, other.peer]);
    }
    expect(other.peer.received.equals(down)).toBe(true);
  });

  test("NB24: the window is the room for the host's socket", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    expect(peer.peerWindow).toBe(65535); // that of SYN is not scaled
    socket.taking = false;
    peer.send(noise(100_000, 1));
    exchange(lab, [peer]);
    expect(peer.peerWindow).toBe(((MAX - 100_000) >> 4) << 4);
    peer.send(noise(400_000, 2));
    exchange(lab, [peer]);
    expect([peer.peerWindow, (peer.next - peer.una) >>> 0]).toEqual([0, 0]);
    socket.takeOne();
    exchange(lab, [peer]);
    expect(peer.peerWindow).toBeLessThan(MAX);
    socket.take();
    exchange(lab, [peer]);
    const all = Buffer.concat([noise(100_000, 1), noise(400_000, 2)]);
    expect(socket.received.equals(all)).toBe(true);
    expect(peer.peerWindow).toBe(MAX);
  });

  test("NB24: bytes beyond it are dropped, and answered by ACK", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    socket.taking = false;
    peer.send(noise(MAX, 1));
    exchange(lab, [peer]);
    const beyond = { flags: TH_ACK | TH_PUSH, seq: peer.next, ack: peer.expected };
    lab.tcp({ ...beyond, payload: noise(1000) });
    const [answer] = lab.segments();
    expect(answer).toMatchObject({ flags: TH_ACK, window: 0 });
    const ack = answer?.ack ?? 0;
    expect((ack - peer.next) >>> 0).toBeLessThan(16); // windows are multiples of 16
    expect(lab.stats.dropped.window).toBe(1);
    socket.takeOne();
    lab.segments();
    lab.tcp({ ...beyond, seq: ack, payload: noise(65000, 5) });
    expect(lab.segments()).toMatchObject([{ ack: (ack + 65000) >>> 0 }]);
  });

  test("NB24: bytes that are not next are dropped, and what was missing is asked for", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    const bytes = noise(3000, 1);
    const from = (at: number, end: number) =>
      lab.tcp({
        ...{ flags: TH_ACK, seq: peer.next + at, ack: peer.expected },
        payload: bytes.subarray(at, end),
      });
    from(1000, 2000);
    expect(lab.segments()).toMatchObject([{ ack: peer.next }]);
    from(0, 1000);
    from(0, 1000); // again
    from(500, 2500); // half of it is new
    from(2500, 3000);
    expect(lab.segments().map(({ ack }) => (ack - peer.next) >>> 0)).toEqual([
      1000, 1000, 2500, 3000,
    ]);
    expect([socket.received.equals(bytes), lab.stats.dropped.order]).toEqual([true, 1]);
  });

  test("NB24: a segment with a wrong checksum changes nothing", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    const payload = noise(2000, 1);
    const segment = { flags: TH_ACK, seq: peer.next, ack: peer.expected };
    lab.tcp({ ...segment, payload });
    const sent = lab.guest.device.stats.framesFromGuest;
    expect(sent).toBeGreaterThan(0);
    lab.segments();
    for (const at of [16, 17, 20, 21, 1000, 2019]) {
      lab.corrupt = at;
      lab.tcp({ ...segment, seq: peer.next + 2000, payload });
    }
    lab.corrupt = null;
    expect([lab.texts(), lab.stats.dropped.checksum]).toEqual([[], 6]);
    expect(socket.received.equals(payload)).toBe(true);
    lab.tcp({ ...segment, seq: peer.next + 2000, payload });
    expect(socket.received.equals(Buffer.concat([payload, payload]))).toBe(true);
  });

  test("NB24: the bytes of a turn leave in one system call, and are acknowledged once", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    const frames = Array.from({ length: 20 }, (_, n) => noise(100 + n, n));
    let seq = peer.next;
    lab.together(() => {
      for (const payload of frames) {
        lab.tcp({ flags: TH_ACK, seq, ack: peer.expected, payload });
        seq += payload.length;
      }
    });
    expect([socket.sends.length, lab.texts()]).toEqual([1, ["ACK"]]);
    expect(socket.received.equals(Buffer.concat(frames))).toBe(true);
  });

  test("NB25: reads no more than the guest's window, nor more than 1 MiB", () => {
    for (const [buffer, most] of [
      [100_000, 100_000],
      [4 << 20, 1 << 20],
    ] as const) {
      const lab = create();
      const { peer, socket } = connectPeer(lab, { buffer, shift: 7 });
      socket.say(noise(3_000_000, 1));
      const arrived = lab.segments().reduce((sum, { payload }) => sum + payload.length, 0);
      expect(arrived).toBeLessThanOrEqual(most);
      expect(arrived).toBeGreaterThan(most - 65480);
      expect([socket.paused, 3_000_000 - socket.unread.length]).toEqual([true, arrived]);
      expect(peer.isOpen).toBe(true);
    }
  });

  test("NB25: a guest that does not read stops the host, and is asked until it reads", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab, { buffer: 65535, shift: 0 });
    const down = noise(200_000, 1);
    peer.isReading = false;
    download(lab, peer, socket, down);
    expect([socket.paused, peer.window, peer.received.length]).toEqual([true, 0, 65535]);
    const before = peer.segments.length;
    const times = [200, 400, 800].map((ms) => {
      lab.advance(ms - 1);
      expect(lab.texts()).toEqual([]);
      lab.advance(1);
      exchange(lab, [peer]);
      return peer.segments.length - before;
    });
    expect(times).toEqual([1, 2, 3]);
    const probes = peer.segments.length;
    for (let minute = 0; minute < 60; minute++) {
      lab.advance(60_000);
      exchange(lab, [peer]);
    }
    expect(peer.segments.length - probes).toBeLessThan(70); // one a minute, at last
    expect([lab.stats.ended.vanished, socket.calls]).toEqual([0, []]);
    peer.read();
    exchange(lab, [peer]);
    while (socket.deliver() > 0) exchange(lab, [peer]);
    expect(peer.received.equals(down)).toBe(true);
  });

  test("NB25: nothing is dropped while the guest posts no buffers: the host is not read", () => {
    const lab = create({ guest: { rxBuffers: 3, mtu: 1500, rxBuffer: [12, 1514] } });
    const { peer, socket } = connectPeer(lab);
    lab.segments(false);
    const down = noise(100_000, 1);
    socket.say(down);
    const { stats } = lab.guest.device;
    expect([socket.paused, lab.guest.device.waiting]).toEqual([true, 0]);
    const unread = socket.unread.length;
    expect(unread).toBeGreaterThan(30_000);
    download(lab, peer, socket, Buffer.alloc(0));
    expect(peer.received.equals(down)).toBe(true);
    expect(Object.values(stats.dropped).every((count) => count === 0)).toBe(true);
    expect(stats.copiedToQueue).toBe(0);
  });

  test("NB25: connections take turns at the guest's buffers", () => {
    const lab = create({ guest: { rxBuffers: 4, mtu: 1500, rxBuffer: [12, 1514] } });
    const all = [0, 1, 2].map((n) => connectPeer(lab, { port: 50000 + n }));
    for (const { socket } of all) socket.say(noise(50_000, 1));
    const peers = all.map(({ peer }) => peer);
    for (let round = 0; round < 40; round++) {
      for (const segment of lab.segments()) peers[segment.port - 50000]?.handle(segment);
    }
    const least = Math.min(...peers.map(({ received }) => received.length));
    expect(least).toBeGreaterThan(30_000);
  });

  test("NB25: a frame that the guest has dropped is sent again after 200 ms", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    const down = noise(1000, 1);
    socket.say(down);
    expect(lab.texts()).toEqual(["PSH ACK 1000"]); // and is lost
    lab.advance(199);
    expect(lab.texts()).toEqual([]);
    lab.advance(1);
    exchange(lab, [peer]);
    expect([peer.received.equals(down), lab.stats.retransmitted]).toEqual([true, 1]);
    lab.advance(60_000);
    expect([lab.texts(), lab.clock.timers]).toEqual([[], 0]);
  });

  test("NB25: three ACKs for the same byte are a loss, and all that is missing follows", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab, { mss: 1460 });
    const down = noise(40_000, 1);
    let n = 0;
    // Of the first 20 segments every third is lost.
    const isLost = ({ payload }: TcpArrival) => payload.length > 0 && n++ < 20 && n % 3 === 0;
    socket.say(down);
    for (const segment of lab.segments()) {
      if (!isLost(segment)) {
        peer.handle(segment);
        peer.finish();
      }
    }
    exchange(lab, [peer]);
    expect(peer.received.equals(down)).toBe(true);
    expect(lab.stats.retransmitted).toBeGreaterThan(5);
    lab.advance(60_000);
    expect(lab.clock.timers).toBe(0);
  });

  test("NB25: the stream arrives whole, with any loss", () => {
    for (let seed = 1; seed <= 10; seed++) {
      const lab = create();
      const { peer, socket } = connectPeer(lab, { mss: seed % 2 === 0 ? 1460 : 20_000 });
      const dice = noise(4096, seed);
      let n = 0;
      const isLost = () => (dice[n++ % 4096] as number) < 40;
      const down = noise(300_000, seed);
      socket.say(down);
      for (let round = 0; peer.received.length < down.length; round++) {
        if (round > 2000) throw new Error(`seed ${seed}: it never ends`);
        exchange(lab, [peer], isLost);
        if (socket.deliver() === 0) lab.advance(100);
      }
      exchange(lab, [peer]);
      expect(peer.received.equals(down), `seed ${seed}`).toBe(true);
    }
  });

  test("NB26, NB25: a guest that acknowledges nothing is gone after five retries", () => {
    const lab = create();
    const { socket } = connectPeer(lab);
    socket.say(noise(1000));
    lab.segments();
    for (const ms of [200, 400, 800, 1600, 3200]) {
      lab.advance(ms);
      expect(lab.texts()).toEqual(["PSH ACK 1000"]);
    }
    lab.advance(6399);
    expect([lab.texts(), socket.calls]).toEqual([[], []]);
    lab.advance(1);
    expect([lab.texts(), socket.calls, lab.stats.ended.vanished]).toEqual([
      ["RST ACK"],
      ["reset"],
      1,
    ]);
    socket.events.closed();
    expect([lab.stats.tcpFlows, lab.clock.timers]).toEqual([0, 0]);
  });

  test("NB25: a guest with a closed window that answers nothing is gone as well", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab, { buffer: 1000, shift: 0 });
    peer.isReading = false;
    download(lab, peer, socket, noise(5000));
    lab.advance(60_000);
    expect(lab.stats.ended.vanished).toBe(0);
    lab.advance(120_000);
    expect([lab.stats.ended.vanished, socket.calls]).toEqual([1, ["reset"]]);
  });

  test("an idle connection has no timer", () => {
    const lab = create();
    const { peer, socket } = connectPeer(lab);
    download(lab, peer, socket, noise(100_000));
    peer.send(noise(100_000));
    exchange(lab, [peer]);
    lab.advance(1000);
    const { turns } = lab.guest;
    expect(lab.clock.timers).toBe(0);
    lab.advance(3_600_000);
    expect([lab.guest.turns, lab.texts()]).toEqual([turns, []]);
  });
});
