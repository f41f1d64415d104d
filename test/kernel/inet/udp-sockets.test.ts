// Datagram sockets of the guest: SysSocketSendTo, SysSocketRecvFrom, and what other calls make of
// them.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { BROADCAST, card, ipNumber, noise, whoHas } from "../../support/frames.ts";
import { type NetGuest, type NetGuestOptions, netGuests } from "../../support/net-guest.ts";
import { parseUdp, udpFrame } from "../../support/udp.ts";

const make = await netGuests("test/guest/udp-sockets.ts");

const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_SEQPACKET = 5;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SO_TYPE = 3;
const SO_RCVTIMEO = 20;
const SO_NONBLOCK = 0x800;
const POLLIN = 1;
const POLLOUT = 4;
const OPS = ["sendTo", "recvFrom", "recv", "connect", "select", "loan", "send"] as const;

async function boot(options: NetGuestOptions = {}) {
  const g = await make(options);
  g.inject(whoHas("10.0.0.1", "10.0.0.2", card(2)));
  g.sent();
  return g;
}

interface Started {
  result(): number | undefined;
  /** Where a datagram came from. */
  from(): [number, number];
  thread: number;
}

interface Arguments {
  buffer?: number;
  length?: number;
  address?: string;
  port?: number;
  flags?: number;
}

function start(g: NetGuest, op: (typeof OPS)[number], s: number, a: Arguments = {}): Started {
  const { buffer = 0, length = 0, address = "0.0.0.0", port = 0, flags = 0 } = a;
  const words = [buffer, length, ipNumber(address) | 0, port, flags];
  const at = g.call("start", OPS.indexOf(op), s, ...words) >>> 0;
  const { view } = g.machine.memory;
  const word = (i: number) => view.getUint32(at + i * 4, true);
  return {
    result: () => (word(0) === 0 ? undefined : view.getInt32(at + 4, true)),
    from: () => [word(3), word(4)],
    thread: word(2),
  };
}

/** A socket that is bound to a port. */
function open(g: NetGuest, port?: number): number {
  const s = g.call("openSocket", SOCK_DGRAM);
  if (s > 0 && port !== undefined) expect(g.call("SysSocketBind", s, port)).toBe(0);
  return s;
}

const allocate = (g: NetGuest, bytes: number) => g.call("ToroGetMem", bytes) >>> 0;

/** Receives at once; throws if it has to wait. */
function receive(g: NetGuest, s: number, room = 2000, flags = 0) {
  const buffer = allocate(g, room + 1);
  const call = start(g, "recvFrom", s, { buffer, length: room, flags });
  const result = call.result();
  if (result === undefined) throw new Error("there is nothing to receive");
  const bytes = Math.max(0, Math.min(result, room));
  const data = Buffer.from(g.machine.memory.bytes(buffer, bytes));
  g.call("ToroFreeMem", buffer);
  return { result, data, from: call.from() };
}

function send(g: NetGuest, s: number, to: string, port: number, data: Uint8Array, flags = 0) {
  const buffer = allocate(g, data.length + 1);
  g.machine.memory.bytes(buffer, data.length).set(data);
  const call = start(g, "sendTo", s, { buffer, length: data.length, address: to, port, flags });
  g.call("ToroFreeMem", buffer);
  return call.result();
}

describe("SysSocketRecvFrom", () => {
  test("waits for a datagram, and says where it comes from", async () => {
    const g = await boot();
    const s = open(g, 53);
    const buffer = allocate(g, 100);
    const call = start(g, "recvFrom", s, { buffer, length: 100 });
    expect(call.result()).toBeUndefined();
    g.inject(udpFrame({ to: 53, from: 999, data: noise(42) }));
    expect([call.result(), call.from()]).toEqual([42, [ipNumber("10.0.0.2"), 999]]);
    expect(Buffer.from(g.machine.memory.bytes(buffer, 42))).toEqual(noise(42));
  });

  test("gives each datagram by itself, in their order, empty ones as well", async () => {
    const g = await boot();
    const s = open(g, 53);
    for (const bytes of [5, 0, 1472, 1]) g.inject(udpFrame({ to: 53, data: noise(bytes, bytes) }));
    const got = [1, 2, 3, 4].map(() => receive(g, s).data);
    expect(got).toEqual([noise(5, 5), noise(0), noise(1472, 1472), noise(1, 1)]);
  });

  test("cuts a datagram that is longer than its buffer, and tells its length if asked", async () => {
    const g = await boot();
    const s = open(g, 53);
    for (let i = 0; i < 3; i++) g.inject(udpFrame({ to: 53, data: noise(100, i) }));
    expect(receive(g, s, 10)).toMatchObject({ result: 10, data: noise(100).subarray(0, 10) });
    expect(receive(g, s, 10, MSG_TRUNC).result).toBe(100);
    expect(receive(g, s).data).toEqual(noise(100, 2));
  });

  test("does not wait where it must not, nor longer than it may", async () => {
    const g = await boot();
    const s = open(g, 53);
    expect(receive(g, s, 10, MSG_DONTWAIT).result).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", s, SO_RCVTIMEO, 500);
    const call = start(g, "recvFrom", s, { buffer: allocate(g, 10), length: 10 });
    g.advance(499);
    expect(call.result()).toBeUndefined();
    g.advance(1);
    expect(call.result()).toBe(-Errno.EAGAIN);
    g.call("SysSocketSetOption", s, SO_NONBLOCK, 1);
    expect(receive(g, s).result).toBe(-Errno.EAGAIN);
  });

  test("fails when the socket is closed meanwhile", async () => {
    const g = await boot();
    const s = open(g, 53);
    const call = start(g, "recvFrom", s, { buffer: allocate(g, 10), length: 10 });
    expect(g.call("SysSocketClose", s)).toBe(0);
    expect(call.result()).toBe(-Errno.EBADF);
    expect(receive(g, s).result).toBe(-Errno.EBADF);
  });

  test("is no call for sockets without a port, or of another kind", async () => {
    const g = await boot();
    expect(receive(g, open(g)).result).toBe(-Errno.EINVAL);
    const stream = g.call("openSocket", SOCK_STREAM);
    expect(receive(g, stream).result).toBe(-Errno.EOPNOTSUPP);
    expect(send(g, stream, "10.0.0.2", 7, noise(1))).toBe(-Errno.EOPNOTSUPP);
    expect(receive(g, 4711).result).toBe(-Errno.EBADF);
    expect(send(g, 4711, "10.0.0.2", 7, noise(1))).toBe(-Errno.EBADF);
  });

  test("writes no origin where nobody wants it, and takes what SysSocketRecv leaves", async () => {
    const g = await boot();
    const s = open(g, 53);
    for (const bytes of [7, 8]) g.inject(udpFrame({ to: 53, data: noise(bytes) }));
    const buffer = allocate(g, 100);
    const plain = start(g, "recv", s, { buffer, length: 100 });
    expect([plain.result(), receive(g, s).result]).toEqual([7, 8]);
    expect(start(g, "recv", s, { buffer, length: 100 }).result()).toBe(-Errno.ENOTCONN);
  });
});

describe("SysSocketSendTo", () => {
  test("sends a datagram from the socket's port", async () => {
    const g = await boot();
    const s = open(g, 4000);
    expect(send(g, s, "10.0.0.2", 53, noise(1472))).toBe(1472);
    expect(send(g, s, "10.0.0.2", 53, noise(0))).toBe(0);
    const sent = g.sent().map(parseUdp);
    expect(sent).toMatchObject([
      { to: card(2), from: 4000, port: 53, data: noise(1472) },
      { from: 4000, port: 53, data: noise(0) },
    ]);
  });

  test("gives a socket a port that has none, to which the answer comes", async () => {
    const g = await boot();
    const s = open(g);
    send(g, s, "10.0.0.2", 53, noise(1));
    const [first] = g.sent().map(parseUdp);
    const port = first?.from as number;
    expect(port).toBeGreaterThanOrEqual(49_152);
    g.inject(udpFrame({ to: port, from: 53, data: noise(2) }));
    expect(receive(g, s).data).toEqual(noise(2));
    const at = allocate(g, 8);
    g.call("SysSocketLocalAddress", s, at);
    const { view } = g.machine.memory;
    expect(view.getUint32(at, true)).toBe(ipNumber("10.0.0.1"));
    expect(view.getUint32(at + 4, true)).toBe(port);
  });

  test("says why not", async () => {
    const g = await boot();
    const s = open(g, 4000);
    expect(send(g, s, "10.0.0.2", 53, noise(1473))).toBe(-Errno.EMSGSIZE);
    expect(send(g, s, "10.0.0.2", 0, noise(1))).toBe(-Errno.EINVAL);
    expect(send(g, s, "10.0.0.2", 65_536, noise(1))).toBe(-Errno.EINVAL);
    for (const to of ["10.0.0.255", "255.255.255.255"]) {
      expect(send(g, s, to, 53, noise(1))).toBe(-Errno.EACCES);
    }
    for (const to of ["8.8.8.8", "224.0.0.1", "0.0.0.0", "127.0.0.2"]) {
      expect(send(g, s, to, 53, noise(1)), to).toBe(-Errno.ENETUNREACH);
    }
    expect(g.sent()).toEqual([]);
    const early = await make({ parameters: "" });
    expect(send(early, open(early), "10.0.0.2", 53, noise(1))).toBe(-Errno.EADDRNOTAVAIL);
  });

  test("waits for the card where it may", async () => {
    const g = await boot({ queueSize: 4 });
    const s = open(g, 4000);
    g.device.consuming = false;
    const results = Array.from({ length: 80 }, () => send(g, s, "10.0.0.2", 53, noise(1)));
    expect(results).toContain(undefined);
    expect(send(g, s, "10.0.0.2", 53, noise(1), MSG_DONTWAIT)).toBe(-Errno.EAGAIN);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    for (let i = 0; i < 100; i++) g.advance(1);
    expect(g.call("threadCount")).toBe(0);
  });
});

describe("a datagram socket", () => {
  test("is of its type, and neither listens nor connects", async () => {
    const g = await boot();
    const s = open(g, 53);
    expect(g.call("SysSocketGetOption", s, SO_TYPE)).toBe(SOCK_DGRAM);
    expect(g.call("SysSocketListen", s, 1)).toBe(-Errno.EOPNOTSUPP);
    expect(start(g, "connect", s, { address: "10.0.0.2", port: 7 }).result()).toBe(
      -Errno.EOPNOTSUPP,
    );
    expect(g.call("openSocket", SOCK_SEQPACKET)).toBe(-Errno.EPROTONOSUPPORT);
    g.inject(udpFrame({ to: 53, data: noise(3) }));
    expect(receive(g, s).data).toEqual(noise(3));
  });

  test("has a port that nobody else has: no socket, and no part of the kernel", async () => {
    const g = await boot({ parameters: "" });
    const s = open(g, 53);
    const bind = (port: number) => g.call("SysSocketBind", open(g), port);
    expect([bind(53), bind(68), bind(65_536)]).toEqual([
      -Errno.EADDRINUSE,
      -Errno.EADDRINUSE,
      -Errno.EINVAL,
    ]);
    expect(g.call("udpOpen", 53, 0, 0)).toBe(-Errno.EADDRINUSE);
    g.call("SysSocketClose", s);
    expect(bind(53)).toBe(0);
  });

  test("has a port that nobody can guess, if it names none", async () => {
    let next = 1;
    const entropy = (into: Uint8Array) => {
      for (let i = 0; i < into.length; i++) into[i] = next++ * 37;
    };
    const g = await boot({ entropy });
    const at = allocate(g, 8);
    const ports = Array.from({ length: 20 }, () => {
      g.call("SysSocketLocalAddress", open(g, 0), at);
      return g.machine.memory.view.getUint32(at + 4, true);
    });
    const steps = ports.slice(1).map((port, i) => port - (ports[i] as number));
    expect(new Set(ports).size).toBe(20);
    expect(steps.filter((step) => step === 1).length).toBeLessThan(5);
  });

  test("is ready to be read when it has a datagram", async () => {
    const g = await boot();
    const s = open(g, 53);
    const entries = allocate(g, 8);
    const { view } = g.machine.memory;
    const select = (events: number, timeoutMs: number) => {
      view.setInt32(entries, s, true);
      view.setUint16(entries + 4, events, true);
      return start(g, "select", 0, { buffer: entries, length: 1, flags: timeoutMs });
    };
    expect(select(POLLIN, 0).result()).toBe(0);
    expect(select(POLLIN | POLLOUT, 0).result()).toBe(1);
    expect(view.getUint16(entries + 6, true)).toBe(POLLOUT);
    const waiting = select(POLLIN, 10_000);
    expect(waiting.result()).toBeUndefined();
    g.inject(udpFrame({ to: 53 }));
    expect([waiting.result(), view.getUint16(entries + 6, true)]).toEqual([1, POLLIN]);
  });

  test("TC11: keeps 64 datagrams, and drops the new one", async () => {
    const g = await boot();
    const s = open(g, 53);
    for (let i = 0; i < 70; i++) g.inject(udpFrame({ to: 53, data: Buffer.from([i]) }));
    expect(g.stats().udpFull).toBe(6);
    for (let i = 0; i < 64; i++) expect(receive(g, s).data).toEqual(Buffer.from([i]));
    expect(receive(g, s, 10, MSG_DONTWAIT).result).toBe(-Errno.EAGAIN);
  });

  test("TC10: is gone when it is closed: its port is unreachable", async () => {
    const g = await boot();
    const s = open(g, 53);
    g.inject(udpFrame({ to: 53 }));
    expect(g.sent()).toEqual([]);
    g.call("SysSocketClose", s);
    g.inject(udpFrame({ to: 53 }));
    expect(g.sentIp()).toMatchObject([{ protocol: 1, destination: "10.0.0.2" }]);
  });

  test("TC6: takes broadcasts", async () => {
    const g = await boot();
    const s = open(g, 53);
    g.inject(udpFrame({ to: 53, ip: { to: BROADCAST, destination: "10.0.0.255" } }));
    expect(receive(g, s).result).toBe(0);
  });

  test("TC63: talks to another one of the machine, with or without an address", async () => {
    for (const parameters of ["net.address=10.0.0.1/24", "net.address=none"]) {
      const g = await make({ parameters });
      const [a, b] = [open(g, 1000), open(g, 2000)];
      expect(send(g, a, "127.0.0.1", 2000, noise(9))).toBe(9);
      expect(receive(g, b)).toMatchObject({ data: noise(9), from: [ipNumber("127.0.0.1"), 1000] });
    }
  });

  test("has no connection: calls for one fail, whatever has arrived", async () => {
    const g = await boot();
    const s = open(g, 53);
    for (const bytes of [0, 5, 0]) g.inject(udpFrame({ to: 53, data: noise(bytes) }));
    const buffer = allocate(g, 64);
    expect(start(g, "loan", s, { buffer, length: 4 }).result()).toBe(-Errno.EOPNOTSUPP);
    expect(start(g, "send", s, { buffer, length: 4 }).result()).toBe(-Errno.ENOTCONN);
    expect(g.call("SysSocketShutdown", s, 2)).toBe(-Errno.ENOTCONN);
    expect(g.call("SysSocketReset", s)).toBe(-Errno.ENOTCONN);
    expect(g.call("SysSocketPeerAddress", s, buffer)).toBe(-Errno.ENOTCONN);
    const plain = [1, 2, 3].map(() => start(g, "recv", s, { buffer, length: 64 }).result());
    expect(plain).toEqual([0, 5, 0]);
  });

  test("leaves nothing in memory, read or unread, waited for or killed", async () => {
    const g = await boot();
    const round = (reads: number) => {
      const s = open(g, 53);
      for (let i = 0; i < 30; i++) g.inject(udpFrame({ to: 53, data: noise(i * 40, i) }));
      for (let i = 0; i < reads; i++) receive(g, s);
      const t = open(g, 54);
      const waiting = start(g, "recvFrom", t);
      g.call("SysKillThread", waiting.thread);
      for (const one of [s, t]) g.call("SysSocketClose", one);
      g.sent();
      return [g.call("inUse"), g.call("heapBlocks")];
    };
    const first = round(0); // tables have grown
    for (let reads = 1; reads < 10; reads++) expect(round(reads)).toEqual(first);
    expect([g.call("liveSockets"), g.call("threadCount"), g.faults()]).toEqual([0, 0, 0]);
  });
});
