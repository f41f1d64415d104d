// TCP of the guest with a card that completes checksums and cuts long segments.
import { describe, expect, test } from "vitest";
import { ADDRESS, rxHeader } from "../../support/net-guest.ts";
import { readWork } from "../../support/tcp-frames.ts";
import {
  pattern,
  readSegment,
  type TcpGuest,
  tcpGuests,
  writeSegment,
} from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const MSS = 1000;
// CSUM, GUEST_CSUM, MTU, MAC, GUEST_TSO4, HOST_TSO4, STATUS
const FEATURES = [0, 1, 3, 5, 7, 11, 16].reduce((set, bit) => set | (1n << BigInt(bit)), 0n);

async function serve(options = `mss=${MSS}`) {
  const g = await make({ features: FEATURES, parameters: `${ADDRESS} net.rx_buffers=large` });
  const found = g.serve(options);
  g.device.sent.length = 0;
  return { g, ...found };
}

/** The frames with payload that the guest has sent, with the work that they leave to the card. */
const sent = (g: TcpGuest) =>
  g.device.sent.splice(0).flatMap(({ header, frame }) => {
    const segment = readSegment(frame);
    return segment.payload.length === 0 ? [] : [{ work: readWork(header), segment }];
  });

describe("TC53: a card that cuts", () => {
  test("gets all that the windows allow in one frame, in whole segments", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10 * MSS);
    const [one, ...rest] = sent(g);
    expect(rest).toEqual([]);
    expect(one?.work).toMatchObject({
      flags: 1,
      type: 1,
      size: MSS,
      start: 34,
      offset: 16,
      hint: 54,
    });
    expect(one?.segment.payload).toEqual(pattern(1, 10 * MSS));
  });

  test("gets the rest by itself, with its checksum to complete", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 2 * MSS + 10);
    g.script(`in A seq=1 ack=${1 + 2 * MSS}`);
    const frames = sent(g);
    expect(frames.map(({ segment }) => segment.payload.length)).toEqual([2 * MSS, 10]);
    expect(frames[1]?.work).toMatchObject({ flags: 1, type: 0, start: 34, offset: 16 });
  });

  test("a retransmission is one segment", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 6 * MSS);
    sent(g);
    g.advance(1000);
    const again = sent(g);
    expect(again.map(({ segment }) => segment.payload.length)).toEqual([MSS]);
    expect(again[0]?.work.type).toBe(0);
  });

  test("timestamps are in each segment, so the payload of one is less", async () => {
    const { g, socket } = await serve(`mss=${MSS} ts=5`);
    g.send(socket, 1, 3 * 988);
    const [one] = sent(g);
    expect(one?.work).toMatchObject({ size: 988, hint: 66 });
  });

  test("many small pieces in the queue make one frame of whole segments", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 10, 0x8000);
    for (let seq = 11; seq < 5 * MSS; seq += 700) g.send(socket, seq, 700, 0x8000);
    for (const { work, segment } of sent(g)) {
      expect(segment.payload.length % (work.size || MSS)).toBe(0);
    }
  });
});

describe("TC54: a long segment that the card has put together", () => {
  test("counts as many: it is acknowledged at once", async () => {
    const { g } = await serve();
    for (let i = 0; i < 16; i++) g.script(`in A seq=${1 + i * 10} ack=1 bytes=10`);
    g.segments();
    const long = (seq: number, bytes: number, size: number) => {
      const frame = writeSegment({
        source: g.peerPort,
        dest: 80,
        flags: 16,
        seq: g.irs + seq,
        ack: g.iss + 1,
        payload: pattern(seq, bytes),
      });
      const header = rxHeader({ 0: 1, 1: 1, 2: 54, 4: size & 255, 5: size >> 8, 6: 34, 8: 16 });
      g.device.raw(header, frame);
      g.device.signal();
      g.settle();
    };
    long(161, 800, 1000);
    g.script("none");
    long(961, 1300, 1000);
    g.script("out A ack=2261");
    long(2261, 1400, 1000);
    g.script("out A ack=3661");
  });

  test("its checksum is not looked at: it never left the host", async () => {
    const { g, socket } = await serve();
    const w = { source: g.peerPort, dest: 80, flags: 16, seq: g.irs + 1, ack: g.iss + 1 };
    const frame = writeSegment({ ...w, payload: pattern(1, 100), checksum: 0x1234 });
    g.device.raw(rxHeader({ 0: 1, 6: 34, 8: 16 }), frame);
    g.device.signal();
    g.settle();
    expect(g.recv(socket)).toEqual(pattern(1, 100));
  });
});
