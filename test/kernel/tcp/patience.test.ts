// TCP of the guest: how long it waits for what, and what it says of a connection.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const TCP_USER_TIMEOUT = 0x612;
const TCP_NODELAY = 0x601;

async function serve(options = "mss=1000", win = 65535) {
  const g = await make();
  return { g, ...g.serve(options, win) };
}

describe("TC51: TCP_USER_TIMEOUT", () => {
  test("counts from the first byte that is not acknowledged, not from the last that was heard", async () => {
    const { g, socket } = await serve();
    g.call("SysTcpSetOption", socket, TCP_USER_TIMEOUT, 5000);
    g.advance(3600_000);
    g.meet();
    g.send(socket, 1, 10);
    g.advance(1000);
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.script("in A seq=1 ack=11");
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("is not put off by a peer that talks and acknowledges nothing", async () => {
    const { g, socket } = await serve();
    g.call("SysTcpSetOption", socket, TCP_USER_TIMEOUT, 5000);
    g.send(socket, 1, 10);
    for (let i = 0; i < 8; i++) {
      g.advance(1000);
      g.script(`in A seq=${1 + i} ack=1 bytes=1`);
    }
    expect(g.recv(socket), "it ends with the third retransmission, after 7 s").toHaveLength(6);
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });

  test("does not count while a closed window is answered, and does when it is not", async () => {
    const { g, socket } = await serve();
    g.call("SysTcpSetOption", socket, TCP_USER_TIMEOUT, 5000);
    g.script("in A seq=1 ack=1 win=0");
    g.advance(3600_000);
    g.send(socket, 1, 10);
    for (let i = 0; i < 30; i++) {
      g.advance(1000);
      g.meet();
      for (const _ of g.segments()) g.script("in A seq=1 ack=1 win=0");
    }
    expect(g.recv(socket)).toBe(-Errno.EAGAIN);
    g.advance(130_000);
    expect(g.recv(socket)).toBe(-Errno.ETIMEDOUT);
  });
});

describe("NP3, NP11: a closed connection", () => {
  test("probes a window of 0 eight times, and then ends", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 100);
    g.script("in A seq=1 ack=1 win=0");
    g.start("close", socket);
    let probes = 0;
    for (let i = 0; i < 1000 && g.call("liveSockets") > 1; i++) {
      g.advance(1000);
      g.meet();
      for (const one of g.segments()) {
        if (one.payload.length === 0) continue;
        probes++;
        g.script("in A seq=1 ack=1 win=0");
      }
    }
    expect([probes > 4, g.call("liveSockets"), g.call("sendQueuesBytes")]).toEqual([true, 1, 0]);
  });

  test("that gets rid of a byte now and then goes on", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 30);
    g.segments();
    g.script("in A seq=1 ack=1 win=0");
    g.start("close", socket);
    for (let acked = 1, i = 0; acked < 20 && i < 5000; i++) {
      g.advance(1000);
      g.meet();
      for (const one of g.segments())
        if (one.payload.length > 0) g.script(`in A seq=1 ack=${++acked} win=0`);
    }
    expect(g.call("liveSockets")).toBe(2);
    g.script("in A seq=1 ack=32 win=1000");
    g.advance(60_001);
    expect(g.call("liveSockets")).toBe(1);
  });
});

describe("TC41: after a time-out", () => {
  test("an acknowledgement lies after all that was sent, where the peer takes it", async () => {
    const { g, socket } = await serve();
    g.send(socket, 1, 5000);
    g.segments();
    g.advance(1000);
    g.script(`
      out A seq=1 bytes=1000
      in  A seq=1 ack=1 bytes=10
      out A seq=5001 ack=11 bytes=0
    `);
  });
});

describe("TC42: a window that is not used", () => {
  test("does not grow, however much is acknowledged", async () => {
    const { g, socket } = await serve();
    g.call("SysTcpSetOption", socket, TCP_NODELAY, 1);
    const before = g.call("congestionWindow", socket);
    for (let at = 1; at < 200_000; at += 1000) {
      g.send(socket, at, 1000);
      g.script(`in A seq=1 ack=${at + 1000}`);
    }
    expect(g.call("congestionWindow", socket)).toBe(before);
  });
});

describe("TC51: SysTcpInfo", () => {
  const FIELDS = [
    ...["state", "mss", "rttUs", "rttVarianceUs", "rtoUs", "congestionWindow"],
    ...["slowStartThreshold", "peerWindow", "ownWindow", "inFlight", "queued", "retransmits"],
    ...["probes", "segmentsSent", "segmentsReceived", "outOfOrder", "duplicates"],
  ];
  const info = (g: TcpGuest, socket: number): Record<string, number> => {
    const at = g.call("ToroGetMem", FIELDS.length * 4) >>> 0;
    expect(g.call("SysTcpInfo", socket, at)).toBe(0);
    const { view } = g.machine.memory;
    const read = FIELDS.map((name, i) => [name, view.getUint32(at + i * 4, true)]);
    g.call("ToroFreeMem", at);
    return Object.fromEntries(read);
  };

  test("tells of round trips, windows and losses", async () => {
    const { g, socket } = await serve("mss=1000 ts=5:0");
    expect(info(g, socket)).toMatchObject({ state: 1, mss: 988, slowStartThreshold: 0xffffffff });
    g.send(socket, 1, 12_000);
    expect(info(g, socket)).toMatchObject({ inFlight: 9880, queued: 2120, retransmits: 0 });
    g.segments();
    g.advance(1000);
    expect(info(g, socket)).toMatchObject({ retransmits: 2, congestionWindow: 988 });
    g.script(`
      in A seq=51 ack=1 bytes=10 ts=5:0
      in A seq=1 ack=1 bytes=50 ts=5:0
      in A seq=1 ack=1 bytes=50 ts=5:0
    `);
    expect(info(g, socket)).toMatchObject({ outOfOrder: 1, duplicates: 1, peerWindow: 65535 });
    g.call("SysSocketShutdown", socket, 1);
    expect(info(g, socket).state).toBe(4);
  });

  test("measures", async () => {
    const { g, socket } = await serve("mss=1000");
    g.send(socket, 1, 10);
    g.advance(30);
    g.script("in A seq=1 ack=11");
    expect(info(g, socket)).toMatchObject({ rttUs: 30_000, rttVarianceUs: 15_000, rtoUs: 230_000 });
  });

  test("is of sockets of TCP alone", async () => {
    const { g, listener } = await serve();
    expect(info(g, listener).state).toBe(7);
    expect(g.call("SysTcpInfo", 9999, 0)).toBe(-Errno.EBADF);
    expect(g.call("SysTcpInfo", g.call("SysSocket", 2, 2), 0)).toBe(-Errno.EINVAL);
  });
});
