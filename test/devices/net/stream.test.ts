// Frames in a byte stream: the format, its bounds, and a card at its end.
import { afterEach, describe, expect, test } from "vitest";
import { StreamNetwork, type StreamNetworkOptions } from "../../../host/devices/net/stream.ts";
import { BROADCAST, card, digests, frame, noise } from "../../support/frames.ts";
import { NetPuppet, type NetPuppetOptions } from "../../support/net-puppet.ts";
import { FakeNetwork } from "../../support/vsock-puppet.ts";

const TYPE = 0x88b5;
const incoming = (bytes: number, seed = 0) => frame(card(1), card(2), TYPE, noise(bytes, seed));
const outgoing = (bytes: number, seed = 0) => frame(card(2), card(1), TYPE, noise(bytes, seed));

/** Frames as the stream carries them. */
function encode(...frames: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    frames.flatMap((bytes) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(bytes.length);
      return [length, bytes];
    }),
  );
}

const opened: StreamNetwork[] = [];
afterEach(() => {
  for (const network of opened.splice(0)) network.close();
});

/** A network that has connected to a socket of the test's. */
async function connected(options: Partial<StreamNetworkOptions> = {}, canLand = true) {
  const sockets = new FakeNetwork();
  const ended: string[] = [];
  const opening = StreamNetwork.open({
    sockets,
    address: { path: "/peer" },
    ended: (reason) => void ended.push(reason),
    ...options,
  });
  const { socket, target } = sockets.connects[0] as (typeof sockets.connects)[number];
  socket.canLand = canLand;
  socket.events.connected();
  const network = await opening;
  opened.push(network);
  return { network, socket, target, ended };
}

async function plugged(options: NetPuppetOptions = {}, canLand = true) {
  const stream = await connected({}, canLand);
  return { ...stream, guest: new NetPuppet({ network: stream.network, mac: card(1), ...options }) };
}

describe.each([
  ["that reads into a buffer", true],
  ["that delivers chunks", false],
])("a stream of a host %s", (_, canLand) => {
  test("carries frames of both directions, each after its length", async () => {
    const { socket, guest } = await plugged({}, canLand);
    const sent = [outgoing(46), outgoing(1500, 1)];
    guest.send(...sent);
    expect(socket.received.equals(encode(...sent))).toBe(true);
    const got = [incoming(50), incoming(1500, 1), incoming(1, 2)];
    socket.say(encode(...got));
    expect(digests(guest.take())).toEqual(digests(got));
  });

  test("finds frames wherever the stream is cut", async () => {
    const got = [incoming(0), incoming(30, 1), incoming(64, 2)];
    const whole = encode(...got);
    const { socket, guest } = await plugged({}, canLand);
    for (let cut = 1; cut < whole.length; cut++) {
      socket.say(whole.subarray(0, cut));
      socket.say(whole.subarray(cut));
      expect(digests(guest.take()), `cut at ${cut}`).toEqual(digests(got));
    }
    for (const octet of whole) socket.say(Uint8Array.of(octet));
    expect(digests(guest.take())).toEqual(digests(got));
  });

  test.each([0, 1, 13, 65551, 65552, 0x7fffffff, 0xffffffff])(
    "ends at a length of %i, with the link down",
    async (length) => {
      const { socket, guest, network, ended } = await plugged({}, canLand);
      const before = incoming(20);
      const broken = Buffer.alloc(4);
      broken.writeUInt32BE(length);
      socket.say(Buffer.concat([encode(before), broken]));
      expect(digests(guest.take())).toEqual(digests([before]));
      expect(ended).toEqual(["it is no stream of frames"]);
      expect(socket.calls).toEqual(["close"]);
      expect([network.isConnected, guest.device.hasLink]).toEqual([false, false]);
      socket.events.closed();
      expect(ended).toHaveLength(1);
      guest.send(outgoing(20));
      expect(guest.device.stats.dropped.noLink).toBe(1);
    },
  );

  test("takes a length that comes octet by octet, and refuses it when it is whole", async () => {
    const { socket, ended } = await plugged({}, canLand);
    for (const octet of [0, 1, 0]) socket.say(Uint8Array.of(octet));
    expect(ended).toEqual([]);
    socket.say(Uint8Array.of(15));
    expect(ended).toHaveLength(1);
  });

  test("carries the longest frame, and drops what exceeds the card's MTU", async () => {
    const { socket, guest } = await plugged(
      { mtu: 65520, rxBuffer: [12, 65536], rxBuffers: 4 },
      canLand,
    );
    const longest = incoming(65520);
    socket.say(encode(longest, incoming(65521), incoming(65536)));
    expect(digests(guest.take())).toEqual(digests([longest]));
    expect(guest.device.stats.dropped.tooLong).toBe(2);
  });
});

describe.each([
  ["that reads into a buffer", true],
  ["that delivers chunks", false],
])("a guest without buffers, on a stream of a host %s", (_, canLand) => {
  test("holds the stream, and no frame is lost", async () => {
    const { socket, guest, network } = await plugged({ rxBuffers: 4 }, canLand);
    const got = Array.from({ length: 20 }, (_, i) => incoming(100 + i, i));
    const whole = encode(...got, got[0] as Buffer);
    socket.say(whole.subarray(0, -30));
    expect([network.stats.held, socket.paused]).toEqual([1, true]);
    const taken: Buffer[] = [];
    while (socket.paused) taken.push(...guest.take());
    expect(network.stats.held).toBe(1);
    socket.say(whole.subarray(-30));
    for (let some = guest.take(); some.length > 0; some = guest.take()) taken.push(...some);
    expect(digests(taken)).toEqual(digests([...got, got[0] as Buffer]));
    expect(guest.device.stats.dropped.queueFull).toBe(0);
  });

  test("holds it between two reads as well", async () => {
    const { socket, guest } = await plugged({ rxBuffers: 1 }, canLand);
    const got = [incoming(1), incoming(2), incoming(3)];
    socket.say(encode(...got.slice(0, 2)));
    expect(socket.paused).toBe(true);
    expect(digests(guest.take())).toEqual(digests(got.slice(0, 1)));
    expect(socket.paused).toBe(false);
    expect(digests(guest.take())).toEqual(digests(got.slice(1, 2)));
    socket.say(encode(...got.slice(2)));
    expect(digests(guest.take())).toEqual(digests(got.slice(2)));
  });

  test("lets it go on if its driver leaves, and frames are dropped", async () => {
    const { socket, guest } = await plugged({ rxBuffers: 2 }, canLand);
    socket.say(encode(...Array.from({ length: 8 }, (_, i) => incoming(60, i))));
    expect(socket.paused).toBe(true);
    guest.device.reset();
    expect(socket.paused).toBe(false);
    expect(guest.device.stats.dropped.noLink).toBe(6);
    guest.boot();
    socket.say(encode(incoming(40)));
    expect(digests(guest.take())).toEqual(digests([incoming(40)]));
  });

  test("learns late that it is none", async () => {
    const { socket, guest, ended } = await plugged({ rxBuffers: 1 }, canLand);
    const two = [incoming(1), incoming(2)];
    socket.say(Buffer.concat([encode(...two), Buffer.alloc(4)]));
    expect(ended).toEqual([]);
    expect(digests(guest.take())).toEqual(digests(two.slice(0, 1)));
    expect(ended).toEqual(["it is no stream of frames"]);
    expect(socket.calls).toEqual(["close"]);
  });
});

describe("sending", () => {
  test("the frames of a turn leave in one system call", async () => {
    const { socket, guest } = await plugged();
    guest.send(...Array.from({ length: 30 }, (_, i) => outgoing(60, i)));
    guest.send(outgoing(61));
    expect(socket.sends.map((parts) => parts.length)).toEqual([1, 1]);
  });

  test("while the kernel is busy a mebibyte gathers, and then frames are dropped and counted", async () => {
    const { socket, guest, network } = await plugged();
    socket.taking = false;
    const first = outgoing(100);
    guest.send(first);
    const sent = Array.from({ length: 1000 }, (_, i) => outgoing(1500, i));
    for (const one of sent) {
      guest.send(one);
      guest.tx.used();
    }
    const kept = Math.floor(2 ** 20 / (4 + 1514));
    expect(network.stats).toMatchObject({ framesSent: 1 + kept, dropped: 1000 - kept });
    socket.take();
    const expected = encode(first, ...sent.slice(0, kept));
    expect(socket.received.equals(expected)).toBe(true);
    guest.send(outgoing(5));
    expect(network.stats.framesSent).toBe(kept + 2);
  });

  test("bytes that the kernel still has do not change", async () => {
    const { socket, guest } = await plugged();
    socket.taking = false;
    guest.send(outgoing(100, 1));
    const [inFlight] = socket.sends[0] as [Uint8Array];
    const before = Buffer.from(inFlight);
    for (let i = 2; i < 50; i++) guest.send(outgoing(100, i));
    expect(before.equals(inFlight)).toBe(true);
    socket.takeOne();
    guest.send(outgoing(100, 50));
    expect(socket.sends).toHaveLength(2);
  });
});

describe("the other end", () => {
  test("that closes takes the link down", async () => {
    const { socket, guest, ended } = await plugged();
    const before = guest.configChanges;
    socket.events.end();
    socket.events.closed();
    expect([guest.device.hasLink, guest.configChanges]).toEqual([false, before + 1]);
    expect(ended).toEqual(["the other end has closed it"]);
  });

  test("that resets is named", async () => {
    const { socket, ended } = await plugged();
    socket.fail();
    expect(ended).toEqual(["ECONNRESET"]);
  });

  test("that cannot be reached rejects with its address", async () => {
    const sockets = new FakeNetwork();
    const opening = StreamNetwork.open({ sockets, address: { host: "127.0.0.1", port: 9 } });
    sockets.connects[0]?.socket.events.failed(new Error("ECONNREFUSED"));
    await expect(opening).rejects.toThrow("net: 127.0.0.1:9: ECONNREFUSED");
  });

  test("is one at a time where it connects, and may come again", async () => {
    const sockets = new FakeNetwork();
    const network = await StreamNetwork.open({ sockets, address: { path: "/here" }, listen: true });
    opened.push(network);
    const guest = new NetPuppet({ network, mac: card(1) });
    expect([network.isConnected, guest.device.hasLink]).toEqual([false, false]);
    const first = sockets.client();
    expect(guest.device.hasLink).toBe(true);
    const second = sockets.client();
    expect([second.calls, network.stats.refused]).toEqual([["close"], 1]);
    first.say(encode(incoming(10)).subarray(0, 9));
    first.events.end();
    first.events.closed();
    expect(guest.device.hasLink).toBe(false);
    const third = sockets.client();
    third.say(encode(incoming(40)));
    expect(digests(guest.take())).toEqual(digests([incoming(40)]));
    guest.send(outgoing(40));
    expect(third.received.equals(encode(outgoing(40)))).toBe(true);
  });

  test("is left when the device is disposed of, and late bytes are discarded", async () => {
    const { socket, guest, network, ended } = await plugged();
    guest.device.dispose();
    expect([socket.calls, network.isConnected, ended]).toEqual([["close"], false, []]);
    socket.events.data(encode(incoming(40)));
    socket.events.closed();
    expect(network.stats.framesReceived).toBe(0);
  });
});

test("a stream has one card, and a card on a stream may send to all", async () => {
  const { network, socket, guest } = await plugged();
  expect(() => new NetPuppet({ network, mac: card(2) })).toThrow("one card");
  const hello = frame(BROADCAST, card(1), TYPE, noise(30));
  guest.send(hello);
  expect(socket.received.equals(encode(hello))).toBe(true);
});
