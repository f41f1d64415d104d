// How connections of a `user` network begin, and how many there may be.
import { describe, expect, test } from "vitest";
import { TH_ACK, TH_RST, TH_SYN } from "../../../../abi/tcp.ts";
import { noise } from "../../../support/frames.ts";
import { RING_KINDS } from "../../../support/ring-kinds.ts";
import { connectPeer, exchange, TcpPeer } from "../../../support/tcp-peer.ts";
import { parseTcp, segmentText, synOptions } from "../../../support/transport-frames.ts";
import { GATEWAY, UserLab, type UserLabOptions } from "../../../support/user-lab.ts";

describe.each(RING_KINDS)("connections, rings of $name", (rings) => {
  const create = (options: UserLabOptions = {}) =>
    new UserLab({ allow: [5001], ...options, guest: { rings, ...options.guest } });
  const syn = (lab: UserLab, sourcePort = 50000) =>
    lab.tcp({ sourcePort, flags: TH_SYN, seq: 1000, options: synOptions(1460, 7) });

  test("NB22: answers SYN when the host's socket is connected, and not before", () => {
    const lab = create();
    syn(lab);
    expect(lab.texts()).toEqual([]);
    const [{ socket, target } = fail()] = lab.sockets.connects;
    expect([target, socket.paused]).toEqual([{ host: "127.0.0.1", port: 5001 }, true]);
    lab.advance(5000);
    expect(lab.texts()).toEqual([]);
    const { turns } = lab.guest;
    socket.events.connected();
    expect(lab.guest.turns).toBeGreaterThan(turns);
    const [answer, ...others] = lab.segments();
    expect(others).toEqual([]);
    expect(answer).toMatchObject({ flags: TH_SYN | TH_ACK, ack: 1001, port: 50000, window: 65535 });
    expect(answer?.options.toString("hex")).toBe("0204ffc8" + "01030304");
    expect(socket.paused).toBe(true);
    lab.tcp({ flags: TH_ACK, seq: 1001, ack: (answer?.seq ?? 0) + 1 });
    expect([socket.paused, lab.stats.outbound, lab.stats.tcpFlows]).toEqual([false, 1, 1]);
  });

  test("NB22: answers RST when the host refuses, and forgets the connection", () => {
    const lab = create();
    syn(lab);
    lab.sockets.connects[0]?.socket.fail();
    expect(lab.segments()).toMatchObject([{ flags: TH_RST | TH_ACK, seq: 0, ack: 1001 }]);
    expect(lab.stats).toMatchObject({ tcpFlows: 0, refused: { host: 1 } });
    syn(lab);
    expect(lab.sockets.connects).toHaveLength(2);
  });

  test("NB22: turns the host's silence into RST after 10 s", () => {
    const lab = create();
    syn(lab);
    for (let second = 1; second < 10; second++) {
      lab.advance(1000);
      syn(lab); // again, as the guest does
    }
    lab.advance(999);
    expect([lab.texts(), lab.sockets.connects.length]).toEqual([[], 1]);
    lab.advance(1);
    expect(lab.texts()).toEqual(["RST ACK"]);
    const { socket } = lab.sockets.connects[0] as { socket: { calls: string[] } };
    expect([socket.calls, lab.clock.timers]).toEqual([["reset"], 0]);
  });

  test("NB22: sends SYN-ACK again, and gives up on a guest that does not answer", () => {
    const lab = create();
    syn(lab);
    const { socket } = lab.sockets.connects[0] ?? fail();
    socket.events.connected();
    syn(lab);
    expect(lab.texts()).toEqual(["SYN ACK", "SYN ACK"]);
    const times = [200, 400, 800, 1600, 3200].map((ms) => {
      lab.advance(ms - 1);
      expect(lab.texts()).toEqual([]);
      lab.advance(1);
      return lab.texts();
    });
    expect(times).toEqual(Array(5).fill(["SYN ACK"]));
    lab.advance(6400);
    expect([lab.texts(), socket.calls]).toEqual([["RST ACK"], ["reset"]]);
    expect(lab.stats.ended.vanished).toBe(1);
  });

  test("NB22: refuses what the policy does not allow, at once", () => {
    const lab = create();
    lab.tcp({ flags: TH_SYN, seq: 7, port: 5002 });
    lab.tcp({ flags: TH_SYN, seq: 7 }, { destination: "8.8.8.8" });
    expect(lab.segments()).toMatchObject([
      { flags: TH_RST | TH_ACK, ack: 8, source: GATEWAY, sourcePort: 5002 },
      { flags: TH_RST | TH_ACK, ack: 8, source: "8.8.8.8" },
    ]);
    expect([lab.sockets.connects, lab.stats.refused.policy]).toEqual([[], 2]);
  });

  test("answers a segment of no connection with RST, and RST with nothing", () => {
    const lab = create();
    lab.tcp({ flags: TH_ACK, seq: 5, ack: 77, payload: noise(10) });
    lab.tcp({ flags: 0, seq: 5, payload: noise(10) });
    lab.tcp({ flags: TH_SYN | TH_ACK, seq: 5, ack: 9 });
    lab.tcp({ flags: TH_RST, seq: 5 });
    lab.tcp({ flags: TH_RST | TH_ACK | TH_SYN, seq: 5, ack: 9 });
    expect(lab.segments()).toMatchObject([
      { flags: TH_RST, seq: 77 },
      { flags: TH_RST | TH_ACK, seq: 0, ack: 15 },
      { flags: TH_RST, seq: 9 },
    ]);
  });

  test("the smaller MSS counts, and windows are scaled if both sides say so", () => {
    for (const [mss, shift, mtu, expected] of [
      [1460, 7, 65520, 1460],
      [65480, null, 1500, 1460],
      [10, 20, 65520, 88],
    ] as const) {
      const lab = create({ guest: { mtu, rxBuffer: [12, 65534] } });
      const { peer, socket } = connectPeer(lab, { mss, shift });
      socket.say(noise(300));
      exchange(lab, [peer]);
      expect(peer.segments[1]?.payload.length).toBe(Math.min(300, expected));
      expect(peer.segments[0]?.options.length).toBe(shift === null ? 4 : 8);
    }
  });

  test("options that cannot be are skipped: then the MSS is 536", () => {
    for (const options of ["00000000", "02ff0000", "02000000", "0303070100000000", "fe020101"]) {
      const lab = create();
      lab.tcp({ flags: TH_SYN, seq: 1, options: Buffer.from(options, "hex") });
      const { socket } = lab.sockets.connects[0] ?? fail();
      socket.events.connected();
      const [answer = fail()] = lab.segments();
      lab.tcp({ flags: TH_ACK, seq: 2, ack: answer.seq + 1 });
      socket.say(noise(600));
      expect(lab.texts(), options).toEqual(["ACK 536", "PSH ACK 64"]);
    }
  });

  test("NB23: a client of a published port is read when the guest has answered", async () => {
    const lab = create();
    const bound = await lab.network.publish({ port: 4000, guestPort: 80 });
    expect(bound).toEqual({ host: "127.0.0.1", port: 4000 });
    const client = lab.sockets.client();
    expect(client.paused).toBe(true);
    const [syn = fail()] = lab.segments();
    expect(syn).toMatchObject({ source: GATEWAY, port: 80, flags: TH_SYN, ack: 0, window: 65535 });
    expect(syn.sourcePort).toBeGreaterThanOrEqual(49152);
    const peer = new TcpPeer(lab, { port: 80 });
    peer.handle(syn);
    exchange(lab, [peer]);
    expect([client.paused, lab.stats.inbound, peer.isOpen]).toEqual([false, 1, true]);
    client.say("hello");
    exchange(lab, [peer]);
    peer.send(Buffer.from("world"));
    expect([`${peer.received}`, `${client.received}`]).toEqual(["hello", "world"]);
  });

  test("NB23: resets a client that the guest refuses, and one that it does not answer in 2 s", async () => {
    const lab = create();
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const refused = lab.sockets.client();
    const [first = fail()] = lab.segments();
    lab.tcp({ sourcePort: 80, port: first.sourcePort, flags: TH_RST | TH_ACK, ack: first.seq });
    expect(refused.calls).toEqual([]); // not of this SYN
    lab.tcp({ sourcePort: 80, port: first.sourcePort, flags: TH_RST | TH_ACK, ack: first.seq + 1 });
    expect(refused.calls).toEqual(["reset"]);
    const silent = lab.sockets.client();
    expect(lab.texts()).toEqual(["SYN"]);
    for (const expected of [["SYN"], ["SYN"], []]) {
      lab.advance(500);
      expect(lab.texts()).toEqual(expected);
    }
    expect(silent.calls).toEqual([]);
    lab.advance(500);
    expect([silent.calls, lab.texts(), lab.stats.refused.guest]).toEqual([["reset"], [], 2]);
  });

  test("NB23: forgets a client that leaves before the guest has answered", async () => {
    const lab = create();
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const client = lab.sockets.client();
    const [syn = fail()] = lab.segments();
    client.fail();
    lab.tcp({ sourcePort: 80, port: syn.sourcePort, flags: TH_SYN | TH_ACK, ack: syn.seq + 1 });
    expect(lab.texts().at(-1)).toBe("RST");
    expect([lab.stats.tcpFlows, lab.clock.timers]).toEqual([0, 0]);
  });

  test("NB23: asks whether the guest listens without making a connection", async () => {
    const lab = create();
    let answer = "";
    const probing = lab.network.probe(80).then(() => {
      answer = "listens";
    });
    const [first = fail()] = lab.segments();
    lab.tcp({ sourcePort: 80, port: first.sourcePort, flags: TH_RST | TH_ACK, ack: first.seq + 1 });
    lab.advance(5);
    expect(lab.texts()).toEqual(["SYN"]);
    lab.advance(60); // no answer at all
    const [third = fail()] = lab.segments();
    const peer = { sourcePort: 80, port: third.sourcePort, flags: TH_SYN | TH_ACK };
    lab.tcp({ ...peer, seq: 99, ack: third.seq + 1 });
    expect(lab.segments()).toMatchObject([
      { flags: TH_RST | TH_ACK, seq: third.seq + 1, ack: 100 },
    ]);
    await probing;
    expect([answer, lab.stats.tcpFlows, lab.stats.refused.guest]).toEqual(["listens", 0, 0]);
    const late = lab.network.probe(81);
    lab.guest.device.dispose();
    await expect(late).rejects.toThrow("net: the machine is gone");
    await expect(lab.network.probe(81)).rejects.toThrow("net: there is no card");
  });

  test("NB27: of SYNs under way there are 128: further ones of the guest are dropped", () => {
    const lab = create();
    for (let n = 0; n < 130; n++) syn(lab, 50000 + n);
    expect([lab.sockets.connects.length, lab.stats.dropped.flows, lab.texts()]).toEqual([
      128,
      2,
      [],
    ]);
    lab.sockets.connects[0]?.socket.fail();
    syn(lab, 50128);
    expect(lab.sockets.connects).toHaveLength(129);
  });

  test("NB27: clients wait for their turn among 128", async () => {
    const lab = create({
      guest: { ringSize: 1024, rxBuffers: 200, rxBuffer: [12, 1600], mtu: 1500 },
    });
    await lab.network.publish({ port: 4000, guestPort: 80 });
    const clients = Array.from({ length: 200 }, () => lab.sockets.client());
    const first = lab.segments();
    expect(first).toHaveLength(128);
    for (const { sourcePort, seq } of first) {
      lab.tcp({ sourcePort: 80, port: sourcePort, flags: TH_SYN | TH_ACK, seq: 1, ack: seq + 1 });
    }
    expect(lab.texts().filter((text) => text === "SYN")).toHaveLength(72);
    expect(clients.filter(({ paused }) => paused)).toHaveLength(72);
  });

  test("NB27: of connections there are 1,024: one that was idle for 10 s makes room, else none", () => {
    const lab = create();
    const open = (n: number) => {
      syn(lab, 10000 + n);
      const { socket } = lab.sockets.connects.at(-1) ?? fail();
      socket.events.connected();
      const [answer = fail()] = lab.segments();
      lab.tcp({ sourcePort: 10000 + n, flags: TH_ACK, seq: 1001, ack: answer.seq + 1 });
      return socket;
    };
    const sockets = Array.from({ length: 1024 }, (_, n) => open(n));
    syn(lab, 9000);
    expect([lab.texts(), lab.stats.refused.flows]).toEqual([["RST ACK"], 1]);
    lab.advance(10_000);
    lab.tcp({ sourcePort: 10000, flags: TH_ACK, seq: 1001, ack: 1 }); // it is alive
    lab.segments();
    syn(lab, 9000);
    expect(lab.segments().map((one) => [one.port, segmentText(one)])).toEqual([[10001, "RST ACK"]]);
    expect([sockets[0]?.calls, sockets[1]?.calls]).toEqual([[], ["reset"]]);
    expect([lab.stats.ended.evicted, lab.sockets.connects.length]).toEqual([1, 1025]);
  });

  test("several guests have connections with the same ports", () => {
    const lab = create({ outbound: "any", allow: [] });
    for (const destination of ["9.9.9.9", "8.8.8.8", "7.7.7.7"]) {
      lab.tcp({ flags: TH_SYN, seq: 1 }, { destination });
    }
    for (const { socket } of lab.sockets.connects) socket.events.connected();
    const answers = lab.segments();
    expect(answers.map(({ source }) => source)).toEqual(["9.9.9.9", "8.8.8.8", "7.7.7.7"]);
    for (const n of [1, 2, 0]) {
      const { source, seq } = answers[n] ?? fail();
      lab.tcp({ flags: TH_RST, seq: 2, ack: seq + 1 }, { destination: source });
      expect(lab.sockets.connects[n]?.socket.calls).toEqual(["reset"]);
    }
  });

  test("segments that cannot be are dropped, and those with a wrong checksum", () => {
    const lab = create();
    for (const wrong of [{ 12: 0x40 }, { 12: 0xf0 }, { 12: 0 }]) lab.tcp({ flags: TH_SYN, wrong });
    lab.ip({ protocol: 6, payload: noise(19) });
    expect(lab.stats.dropped.malformed).toBe(4);
    const whole = noise(24, 5);
    whole[12] = 0x50;
    lab.ip({ protocol: 6, payload: whole });
    expect([lab.stats.dropped.checksum, lab.guest.take().map(parseTcp)]).toEqual([1, []]);
  });
});

function fail(): never {
  throw new Error("it is not there");
}
