// UDP of a `user` network, and the relay to the host's resolver.
import { describe, expect, test } from "vitest";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import {
  GATEWAY,
  GUEST,
  RESOLVER,
  RESOLVER_MAC,
  UserLab,
  type UserLabOptions,
} from "../../../support/user-lab.ts";

const ANY = { outbound: "any" } as const;

describe.each(RING_KINDS)("datagrams, rings of $name", (rings) => {
  const create = (options: UserLabOptions = {}) =>
    new UserLab({ ...options, guest: { rings, ...options.guest } });
  const query = Buffer.from("1234010000010000000000000161026e6c0000010001", "hex");
  const ask = (lab: UserLab, payload = query) =>
    lab.udp({ sourcePort: 4444, port: 53, payload }, { destination: RESOLVER, to: RESOLVER_MAC });

  test.each([0, 1, 57, 1472, 65492])("of %i bytes travel both ways", (bytes) => {
    const lab = create({ allow: [5001] });
    const payload = noise(bytes, 1);
    lab.udp({ sourcePort: 7000, port: 5001, payload });
    const [socket] = lab.datagrams.sockets;
    expect(socket?.target).toEqual({ host: "127.0.0.1", port: 5001 });
    expect(socket?.sent).toEqual([payload]);
    socket?.events.received(payload);
    const ports = { sourcePort: 5001, port: 7000 };
    expect(lab.datagramsTaken()).toEqual([
      { source: GATEWAY, destination: GUEST, ...ports, payload, isSound: true },
    ]);
    expect(lab.stats).toMatchObject({ datagramsSent: 1, datagramsReceived: 1, udpFlows: 1 });
  });

  test("NB27: one socket for each pair of ports and addresses", () => {
    const lab = create(ANY);
    for (const [sourcePort, destination, port] of [
      [1, "9.9.9.9", 2],
      [1, "9.9.9.9", 3],
      [1, "9.9.9.8", 2],
      [2, "9.9.9.9", 2],
      [1, "9.9.9.9", 2],
    ] as const) {
      lab.udp({ sourcePort, port, payload: noise(1) }, { destination });
    }
    expect(lab.datagrams.sockets.map(({ sent }) => sent.length)).toEqual([2, 1, 1, 1]);
  });

  test("NB27: a flow ends 60 s after its last datagram, of either side", () => {
    const lab = create(ANY);
    const send = (port: number) =>
      lab.udp({ sourcePort: 1, port, payload: noise(1) }, { destination: "9.9.9.9" });
    send(1);
    lab.advance(30_000);
    send(2);
    lab.advance(29_000);
    lab.datagrams.sockets[0]?.events.received(noise(1));
    lab.advance(31_000);
    const closed = () => lab.datagrams.sockets.map(({ isClosed }) => isClosed);
    expect(closed()).toEqual([false, true]);
    lab.advance(28_999);
    expect(closed()).toEqual([false, true]);
    lab.advance(1);
    expect([closed(), lab.stats.udpFlows, lab.clock.timers]).toEqual([[true, true], 0, 0]);
    send(1);
    expect(lab.datagrams.sockets).toHaveLength(3);
  });

  test("NB27: there are 256 flows: the one that was silent for longest makes room", () => {
    const lab = create(ANY);
    const send = (sourcePort: number) =>
      lab.udp({ sourcePort, port: 9, payload: noise(1) }, { destination: "9.9.9.9" });
    for (let n = 0; n < 256; n++) send(1000 + n);
    send(1000);
    send(2000);
    send(2001);
    const closed = lab.datagrams.sockets.map(({ isClosed }) => isClosed);
    expect(closed.flatMap((is, n) => (is ? [n] : []))).toEqual([1, 2]);
    expect(lab.stats).toMatchObject({ udpFlows: 256, dropped: { flows: 2 } });
  });

  test("to closed addresses are dropped and counted", () => {
    const lab = create({ allow: [5001] });
    lab.udp({ sourcePort: 1, port: 5002 });
    lab.udp({ sourcePort: 1, port: 5001 }, { destination: "9.9.9.9" });
    expect([lab.datagrams.sockets, lab.stats.dropped.closed]).toEqual([[], 2]);
  });

  test("that the host cannot take now are dropped and counted", () => {
    const lab = create({ allow: [5001] });
    lab.udp({ sourcePort: 1, port: 5001 });
    const [socket = fail()] = lab.datagrams.sockets;
    socket.isBusy = true;
    lab.udp({ sourcePort: 1, port: 5001 });
    expect([socket.sent.length, lab.stats.dropped.busy]).toEqual([1, 1]);
  });

  test("longer than the guest's MTU are dropped and counted", () => {
    const lab = create({ allow: [5001], guest: { mtu: 1500 } });
    lab.udp({ sourcePort: 1, port: 5001 });
    const [socket] = lab.datagrams.sockets;
    socket?.events.received(noise(1473));
    socket?.events.received(noise(1472));
    expect(lab.datagramsTaken().map(({ payload }) => payload.length)).toEqual([1472]);
    expect(lab.stats.tooLong).toBe(1);
  });

  test("with a wrong length or checksum are dropped; without a checksum they are taken", () => {
    const lab = create({ allow: [5001] });
    const fields = { sourcePort: 1, port: 5001, payload: noise(20) };
    for (const length of [0, 7, 29, 65535]) lab.udp({ ...fields, length });
    lab.ip({ protocol: 17, payload: noise(7) });
    expect(lab.stats.dropped.malformed).toBe(5);
    lab.udp({ ...fields, sum: 0x1234 });
    expect([lab.stats.dropped.checksum, lab.datagrams.sockets.length]).toEqual([1, 0]);
    lab.udp({ ...fields, sum: 0 });
    lab.udp({ ...fields, sum: 0, length: 18 });
    expect(lab.datagrams.sockets[0]?.sent.map(({ length }) => length)).toEqual([20, 10]);
  });

  test("a flow whose socket fails ends, and the next datagram begins another one", () => {
    const lab = create({ allow: [5001] });
    lab.udp({ sourcePort: 1, port: 5001 });
    lab.datagrams.sockets[0]?.events.failed(new Error("ECONNREFUSED"));
    expect(lab.stats.udpFlows).toBe(0);
    lab.udp({ sourcePort: 1, port: 5001 });
    lab.datagrams.sockets[0]?.events.received(noise(5)); // of the old one
    expect([lab.datagrams.sockets.length, lab.datagramsTaken()]).toEqual([2, []]);
  });

  test("NB27: a query reaches the host's resolver, and its flow ends with the answer", () => {
    const lab = create(ANY);
    ask(lab);
    const [socket = fail()] = lab.datagrams.sockets;
    expect([socket.target, socket.sent]).toEqual([{ host: "192.168.7.1", port: 53 }, [query]]);
    socket.events.received(noise(40));
    const answer = { source: RESOLVER, sourcePort: 53, port: 4444, payload: noise(40) };
    expect(lab.datagramsTaken()).toMatchObject([answer]);
    expect([socket.isClosed, lab.stats.udpFlows]).toEqual([true, 0]);
    socket.events.received(noise(40));
    expect(lab.datagramsTaken()).toEqual([]);
  });

  test("a query that may not be relayed is refused at once", () => {
    for (const options of [
      {},
      { allow: [53] },
      { ...ANY, dns: false },
      { ...ANY, resolvers: () => [] },
    ]) {
      const lab = create(options);
      ask(lab);
      expect(lab.datagrams.sockets).toEqual([]);
      const [answer] = lab.datagramsTaken();
      expect(answer?.payload.toString("hex")).toBe("123481050000000000000000");
      ask(lab, query.subarray(0, 11));
      query[2] = 0x81;
      ask(lab);
      query[2] = 0x01;
      expect(lab.datagramsTaken()).toEqual([]);
    }
  });

  test("a flood of datagrams to the guest is bounded", () => {
    const lab = create({ allow: [5001], guest: { rxBuffers: 0 } });
    lab.udp({ sourcePort: 1, port: 5001 });
    for (let n = 0; n < 1000; n++) lab.datagrams.sockets[0]?.events.received(noise(1000));
    expect(lab.guest.device.waiting).toBe(256);
    expect(lab.guest.device.stats.dropped.queueFull).toBe(744);
  });
});

function fail(): never {
  throw new Error("it is not there");
}
