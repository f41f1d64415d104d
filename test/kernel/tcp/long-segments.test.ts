// TCP of the guest with a card that computes checksums and cuts segments.
import { describe, expect, test } from "vitest";
import { NetHdr } from "../../../abi/net.ts";
import { internetChecksum } from "../../support/frames.ts";
import { ALL_FEATURES, rxHeader } from "../../support/net-guest.ts";
import { Random } from "../../support/simulation-random.ts";
import { readWork } from "../../support/tcp-frames.ts";
import {
  pattern,
  readSegment,
  type TcpGuest,
  tcpGuests,
  writeSegment,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const SO_SNDBUF = 7;
const DONTWAIT = 0x40;
/** A multiple of 256, so that the pattern goes on. */
const WARM_BYTES = 1 << 18;

async function serve(options = "mss=1460 scale=7", win = 65535, parameters = "") {
  const g = await make({
    features: ALL_FEATURES,
    parameters: `net.address=10.0.0.1/24 ${parameters}`,
    memoryBytes: 32 * 1024 * 1024,
  });
  const { socket } = g.serve(options, win);
  g.call("SysSocketSetOption", socket, SO_SNDBUF, 1 << 20);
  return { g, socket };
}

/** The frames of TCP that the guest has sent, with the work that it leaves to its card. */
const frames = (g: TcpGuest) =>
  g.device.sent
    .splice(0)
    .filter(({ frame }) => frame.readUInt16BE(12) === 0x0800 && frame[23] === 6)
    .map(({ header, frame }) => ({ work: readWork(header), frame, ...readSegment(frame) }));

/** Completes a checksum as a card does: the sum from `start` on, at `start + offset`. */
function complete(frame: Uint8Array, start: number, offset: number): Buffer {
  const whole = Buffer.from(frame);
  whole.writeUInt16BE(internetChecksum(whole.subarray(start)), start + offset);
  return whole;
}

/** Grows the window of the network beyond what one frame holds. Returns the bytes sent by then. */
function warmUp(g: TcpGuest, socket: number): number {
  const at = g.bytes(1, WARM_BYTES);
  let [given, sent, acked] = [0, 0, 0];
  for (let i = 0; acked < given || g.call("congestionWindow", socket) < 200_000; i++) {
    if (i > 2000) throw new Error("the window does not grow");
    if (acked === given) {
      g.start("send", socket, at, WARM_BYTES, DONTWAIT);
      given += WARM_BYTES;
    }
    for (const one of frames(g)) sent = ((one.seq - g.iss - 1) >>> 0) + one.payload.length;
    acked = Math.min(acked + 2920, sent);
    g.script(`in A seq=1 ack=${1 + acked} win=60000`);
  }
  return given;
}

describe("TC53: long segments", () => {
  test("of almost 64 KiB go out with the size that they are to be cut to, PSH on the last", async () => {
    const { g, socket } = await serve();
    const acked = warmUp(g, socket);
    g.start("send", socket, g.bytes(1 + acked, 300_000), 146_000, DONTWAIT);
    const sent = frames(g);
    const most = Math.floor((65_535 - 40) / 1460) * 1460;
    expect(sent[0]?.payload.length).toBe(most);
    expect(sent.reduce((sum, one) => sum + one.payload.length, 0)).toBe(146_000);
    for (const [i, one] of sent.entries()) {
      const isLast = i === sent.length - 1;
      expect((one.flags & 8) !== 0, `PSH of ${i}`).toBe(isLast);
      expect(one.work).toMatchObject({ flags: 1, start: 34, offset: 16, buffers: 0 });
      if (one.payload.length <= 1460) continue;
      expect(one.work).toMatchObject({ type: 1, size: 1460, hint: 54 });
      if (!isLast) expect(one.payload.length % 1460).toBe(0);
    }
  });

  test("with timestamps are cut to what is left of the MSS", async () => {
    const { g, socket } = await serve("mss=1460 scale=7 ts=5:0", 60_000);
    g.send(socket, 1, 14_480);
    const [one] = frames(g);
    expect(one?.payload.length).toBe(14_480 - (14_480 % 1448));
    expect(one?.work).toMatchObject({ size: 1448, hint: 66 });
  });

  test("count as all their segments: ten at first, and two for each acknowledgement", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100_000, DONTWAIT);
    expect(frames(g).reduce((sum, one) => sum + one.payload.length, 0)).toBe(14_600);
    g.script("in A seq=1 ack=1461 win=60000");
    expect(frames(g).reduce((sum, one) => sum + one.payload.length, 0)).toBe(2920);
  });

  test("are sent again one by one, or as the gap", async () => {
    const { g, socket } = await serve("mss=1460 scale=7 sack");
    g.send(socket, 1, 14_600);
    frames(g);
    g.script("in A seq=1 ack=1 win=60000 blocks=1001-14601");
    expect(frames(g).map((one) => [one.payload.length, one.work.type])).toEqual([[1000, 0]]);
    g.advance(1000);
    expect(frames(g).map((one) => [one.payload.length, one.work.type])).toEqual([[1000, 0]]);
  });

  test("Nagle holds back the bytes after the last full one", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 5000);
    expect(frames(g).map((one) => one.payload.length)).toEqual([4380]);
    g.script("in A seq=1 ack=4381 win=60000");
    expect(frames(g).map((one) => one.payload.length)).toEqual([620]);
  });
});

describe("TC53: where a frame ends", () => {
  test("buffers of any size make no short segment but the last of all", async () => {
    const random = new Random(5);
    for (let round = 0; round < 12; round++) {
      const { g, socket } = await serve("mss=1460 scale=7", 65535, "vsock.tx_copybreak=0");
      g.call("SysSocketSetOption", socket, 0x801, 2);
      g.call("SysSocketSetOption", socket, 60, 1);
      const acked = warmUp(g, socket);
      const list = Array.from({ length: 16 }, () => random.between(1, 9000));
      const total = list.reduce((a, b) => a + b);
      const at = g.bytes(1 + acked, total);
      const words = list.flatMap((bytes, k) => [
        at + list.slice(0, k).reduce((a, b) => a + b, 0),
        bytes,
      ]);
      g.start("sendVector", socket, g.place(...words), 16, 0x4000000);
      const sent = frames(g);
      const lengths = sent.map((one) => one.payload.length);
      for (const length of lengths.slice(0, -1)) expect(length % 1460, `${lengths}`).toBe(0);
      expect(Buffer.concat(sent.map((one) => one.payload))).toEqual(pattern(1 + acked, total));
    }
  });

  test("many small buffers: a segment is as long as its chain can list", async () => {
    const { g, socket } = await serve("mss=1460 scale=7", 65535, "vsock.tx_copybreak=0");
    g.call("SysSocketSetOption", socket, 60, 1);
    const acked = warmUp(g, socket);
    g.device.consuming = true;
    for (let i = 0; i < 20; i++) {
      const at = g.bytes(1 + acked + i * 64, 64);
      const words = Array.from({ length: 16 }, (_, k) => [at + k * 4, 4]).flat();
      g.start("sendVector", socket, g.place(...words), 16, 0x4000000 | 0x8000);
    }
    let sent = frames(g);
    for (let done = acked, i = 0; i < 200 && done < acked + 1280; i++) {
      for (const one of sent) {
        expect(one.payload).toEqual(pattern(one.seq - g.iss, one.payload.length));
        done = ((one.seq - g.iss - 1) >>> 0) + one.payload.length;
      }
      g.script(`in A seq=1 ack=${1 + done} win=60000`);
      g.advance(200);
      sent = frames(g);
    }
    expect(g.call("sendQueuesBytes")).toBe(0);
  });
});

describe("NW12: partial checksums", () => {
  test.each([1, 2, 3, 99, 1460])(
    "%i bytes: right when the card has completed them",
    async (bytes) => {
      const { g, socket } = await serve();
      g.send(socket, 1, bytes);
      const [one] = frames(g);
      expect(one?.isGood).toBe(false);
      const { start = 0, offset = 0 } = one?.work ?? {};
      expect(readSegment(complete(one?.frame ?? Buffer.alloc(0), start, offset)).isGood).toBe(true);
    },
  );

  test("segments without payload have complete ones", async () => {
    const { g } = await serve();
    g.script("in A seq=1 ack=1 bytes=5");
    const [one] = frames(g);
    expect([one?.isGood, one?.work.flags]).toEqual([true, 0]);
  });
});

describe("TC54: long segments that arrive", () => {
  const arrive = (g: TcpGuest, bytes: number, cut: number) => {
    const header = rxHeader({ [NetHdr.flags]: 1, [NetHdr.gso_type]: 1 });
    header.writeUInt16LE(54, NetHdr.hdr_len);
    header.writeUInt16LE(cut, NetHdr.gso_size);
    header.writeUInt16LE(34, NetHdr.csum_start);
    header.writeUInt16LE(16, NetHdr.csum_offset);
    const payload = pattern(1, bytes);
    const ports = { source: g.peerPort, dest: g.localPort };
    const segment = { ...ports, flags: 16, seq: g.irs + 1, ack: g.iss + 1, payload };
    g.device.merged(header, writeSegment({ ...segment, checksum: 0 }));
    g.device.signal();
    g.settle();
  };

  test("count as their segments, so two of them are acknowledged at once", async () => {
    const { g, socket } = await serve();
    g.script(`
      in A seq=1 ack=1
      none
    `);
    arrive(g, 2920, 1460);
    g.script("out A ack=2921");
    expect(g.recv(socket)).toEqual(pattern(1, 2920));
  });

  test("a whole one of 64 KiB is taken, and its bytes are right", async () => {
    const { g, socket } = await serve();
    g.call("SysSocketSetOption", socket, 8, 1 << 20);
    g.script("in A seq=1 ack=1");
    arrive(g, 16_000, 1460);
    expect(g.recv(socket)).toEqual(pattern(1, 16_000));
    expect(g.segments().at(-1)?.ack).toBe((g.irs + 16_001) >>> 0);
  });
});
