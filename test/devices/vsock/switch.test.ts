// Guests of one process that reach each other by CID: real kernels on real devices, joined by a
// switch whose clock the test cranks.
import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockDevice, VsockSwitch } from "../../../host/node/devices.ts";
import { until } from "../../support/appliance.ts";
import { compileGuest } from "../../support/guest.ts";
import { BothHalves } from "../../support/kernel-and-devices.ts";
import { Random } from "../../support/simulation-random.ts";
import { Fleet, type Guest, linked } from "../../support/switched-machines.ts";

const image = await compileGuest("test/guest/client.ts");
const MIB = 1024 * 1024;
/** Bytes that a socket of the guest takes in before it is read from. */
const GUEST_WINDOW = 262144;
const DEVICE_WINDOW = 262144;

function noise(bytes: number, seed = 1): Buffer {
  const buffer = Buffer.alloc(bytes);
  const random = new Random(seed);
  for (let i = 0; i + 4 <= bytes; i += 4) buffer.writeUInt32LE(random.below(2 ** 32), i);
  return buffer;
}

const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
const said = (text: string) => Buffer.from(text);

describe("a connection of two guests", () => {
  test.each(["data", "in-place", "adaptive"] as const)(
    "V6: carries 1 MiB each way at once, unchanged, receiving in mode %s",
    async (receive) => {
      const { fleet, a, b, near, far } = await linked({ receive }, { receive });
      const sent = [noise(MIB, 1), noise(MIB, 2)] as const;
      const sends = [a.send(near, sent[0]), b.send(far, sent[1])];
      const got = [b.read(far, MIB).bytes, a.read(near, MIB).bytes];
      expect(got.map(hash)).toEqual(sent.map(hash));
      expect(sends.map((result) => result())).toEqual([MIB, MIB]);
      for (const { vsock } of [a, b]) {
        expect([vsock.stats.bytesFromGuest, vsock.stats.bytesToGuest]).toEqual([MIB, MIB]);
      }
      expect(fleet.faults()).toBe(0);
    },
  );

  test("carries an echo of 20 MiB in pieces of all sizes", async () => {
    const fleet = new Fleet();
    const a = await fleet.boot(3);
    const b = await fleet.boot(4);
    b.call("serveEcho", 7);
    const [socket, connected] = a.connect(4, 7);
    expect(connected).toBe(0);
    const random = new Random(5);
    for (let left = 20 * MIB; left > 0; ) {
      const bytes = Math.min(left, 1 + random.below(300_000));
      const piece = noise(bytes, bytes);
      const at = a.put(piece);
      const send = a.start("send", socket, at, bytes);
      expect(hash(a.read(socket, bytes).bytes)).toBe(hash(piece));
      expect(send()).toBe(bytes);
      a.call("ToroFreeMem", at);
      left -= bytes;
    }
    expect(b.vsock.stats.bytesToGuest).toBe(20 * MIB);
    expect(fleet.faults()).toBe(0);
  });

  test("V6: carries 1 MiB and its echo on the system clock", async () => {
    const network = new VsockSwitch();
    const boot = (cid: number) =>
      BothHalves.boot(image, { real: true, vsock: { cid, switch: network } });
    const [a, b] = [await boot(3), await boot(4)];
    b.call("serveEcho", 7);
    const socket = a.call("SysSocket", 1);
    const connected = a.start("connect", socket, 4, 7);
    await until(() => connected() === 0);
    const sent = noise(MIB);
    const at = a.call("ToroGetMem", 2 * MIB);
    a.machine.memory.bytes(at, MIB).set(sent);
    const send = a.start("send", socket, at, MIB);
    for (let got = 0; got < MIB; ) {
      const receive = a.start("recv", socket, at + MIB + got, MIB - got);
      await until(() => receive() !== undefined);
      expect(receive()).toBeGreaterThan(0);
      got += receive() ?? 0;
    }
    await until(() => send() === MIB);
    expect(hash(a.machine.memory.bytes(at + MIB, MIB))).toBe(hash(sent));
    for (const one of [a, b]) one.dispose();
  });

  test("V8: is keyed by the other's CID and ports on each device", async () => {
    const { a, b } = await linked();
    const [ofA] = a.vsock.connections();
    const [ofB] = b.vsock.connections();
    expect(ofA).toMatchObject({ peerCid: 4, hostPort: 80 });
    expect(ofB).toMatchObject({ peerCid: 3, hostPort: ofA?.guestPort, guestPort: 80 });
    expect([a.vsock.stats.connected, b.vsock.stats.accepted]).toEqual([1, 1]);
  });

  test("gives each application the other's address and its own", async () => {
    const { a, b, near, far } = await linked();
    const addresses = (guest: Guest, socket: number) =>
      ["SysSocketLocalAddress", "SysSocketPeerAddress"].map((call) => {
        const at = guest.allocate(8);
        expect(guest.call(call, socket, at)).toBe(0);
        const { view } = guest.halves.machine.memory;
        return [view.getUint32(at, true), view.getUint32(at + 4, true)];
      });
    const [own, peer] = addresses(a, near);
    expect([own?.[0], peer]).toEqual([3, [4, 80]]);
    expect(addresses(b, far)).toEqual([peer, own]);
  });

  test.each([
    ["who connected", true],
    ["who accepted", false],
  ])("V15: %s ends one direction and still receives in the other", async (_, first) => {
    const { a, b, near, far, fleet } = await linked();
    const [from, fromSocket, to, toSocket] = first ? [a, near, b, far] : [b, far, a, near];
    expect(from.send(fromSocket, said("bye!"))()).toBe(4);
    expect(from.start("shutdown", fromSocket, 1)()).toBe(0);
    expect(to.read(toSocket, 100)).toEqual({ bytes: said("bye!"), end: 0 });
    expect(from.send(fromSocket, said("more"))()).toBe(-Errno.EPIPE);
    const answer = noise(MIB);
    const send = to.send(toSocket, answer);
    expect(hash(from.read(fromSocket, MIB).bytes)).toBe(hash(answer));
    expect(send()).toBe(MIB);
    expect(to.start("close", toSocket)()).toBe(0);
    expect(from.read(fromSocket, 100)).toEqual({ bytes: said(""), end: 0 });
    expect(from.start("close", fromSocket)()).toBe(0);
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
    expect(fleet.faults()).toBe(0);
  });

  test("V16: delivers bytes sent before the close ahead of the end of stream", async () => {
    const { a, b, near, far, fleet } = await linked();
    const sent = noise(200_000);
    const send = a.send(near, sent);
    const close = a.start("close", near);
    const { bytes, end } = b.read(far, MIB);
    expect([hash(bytes), end, send(), close()]).toEqual([hash(sent), 0, 200_000, 0]);
    expect(b.start("close", far)()).toBe(0);
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
    expect(fleet.faults()).toBe(0);
  });

  test("V5, V35: stops at one window on each side when the receiver does not read", async () => {
    const { a, b, near, far, fleet } = await linked();
    const sent = noise(4 * MIB);
    const send = a.send(near, sent);
    fleet.advance(1000);
    expect(send()).toBeUndefined();
    expect(a.vsock.stats.bytesFromGuest).toBeLessThanOrEqual(GUEST_WINDOW + DEVICE_WINDOW);
    expect(b.vsock.stats.bytesToGuest).toBeLessThanOrEqual(GUEST_WINDOW);
    const copied = a.vsock.stats.copiedFromGuest;
    expect(copied).toBeLessThanOrEqual(DEVICE_WINDOW);
    expect(hash(b.read(far, 4 * MIB).bytes)).toBe(hash(sent));
    expect(send()).toBe(4 * MIB);
    expect(fleet.faults()).toBe(0);
  });
});

describe("reaching another guest", () => {
  const CID_LOCAL = 1;

  test("V13: a port without a listener refuses at once", async () => {
    const fleet = new Fleet();
    const a = await fleet.boot(3);
    const b = await fleet.boot(4);
    b.listen(81);
    expect(a.connect(4, 80)[1]).toBe(-Errno.ECONNRESET);
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
  });

  test("V13: a guest whose driver is missing refuses after the time-out", async () => {
    const fleet = new Fleet();
    const a = await fleet.boot(3);
    const b = await fleet.boot(4);
    const connecting = a.start("connect", a.call("SysSocket", 1), 4, 80);
    expect([connecting(), b.vsock.stats.connections]).toEqual([undefined, 1]);
    fleet.advance(3000);
    expect(connecting()).toBeLessThan(0);
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
  });

  test.each([
    ["of nobody", 5],
    ["of the guest itself", 3],
    ["of loopback", CID_LOCAL],
  ])("V30: answers the CID %s with a reset", async (_, cid) => {
    const fleet = new Fleet();
    const a = await fleet.boot(3);
    await fleet.boot(4);
    a.listen(80);
    expect(a.connect(cid, 80)[1]).toBe(-Errno.ECONNRESET);
    expect(a.vsock.stats).toMatchObject({ connections: 0, connected: 0, resetsSent: 1 });
  });

  test("a CID is taken until its device is disposed", async () => {
    const fleet = new Fleet();
    const a = await fleet.boot(3);
    const { network } = fleet;
    expect(() => new VsockDevice({ cid: 3, switch: network })).toThrow(/CID 3 is taken/);
    a.halves.machine.dispose();
    expect(network.cids).toEqual([]);
    new VsockDevice({ cid: 3, switch: network });
    expect(network.cids).toEqual([3]);
  });

  test("three guests each reach both others, on the same ports, at once", async () => {
    const fleet = new Fleet();
    const guests = [await fleet.boot(3), await fleet.boot(4), await fleet.boot(5)];
    for (const guest of guests) guest.call("serveEcho", 7);
    const links = guests.flatMap((from) =>
      guests.filter((to) => to !== from).map((to) => ({ from, to, socket: 0, seed: 0 })),
    );
    for (const [i, link] of links.entries()) {
      const [socket, connected] = link.from.connect(link.to.cid, 7);
      expect(connected).toBe(0);
      link.socket = socket;
      link.seed = i;
    }
    const sends = links.map(({ from, socket, seed }) => from.send(socket, noise(MIB, seed)));
    for (const { from, socket, seed } of links) {
      expect(hash(from.read(socket, MIB).bytes)).toBe(hash(noise(MIB, seed)));
    }
    expect(sends.map((result) => result())).toEqual(links.map(() => MIB));
    for (const guest of guests) expect(guest.vsock.stats.connections).toBe(4);
    for (const { from, socket } of links) from.start("close", socket);
    for (const guest of guests) expect(guest.vsock.stats.connections).toBe(0);
    expect(fleet.faults()).toBe(0);
  });

  test("K11: both devices enforce their limits", async () => {
    const fleet = new Fleet();
    const limits = (connections: number) => ({ limits: { connections } });
    const a = await fleet.boot(3, limits(3));
    const b = await fleet.boot(4, limits(2));
    const c = await fleet.boot(5);
    for (const guest of [b, c]) guest.call("serveEcho", 7);
    const results = [4, 4, 4, 5, 5].map((cid) => a.connect(cid, 7)[1]);
    const refused = -Errno.ECONNRESET;
    expect(results).toEqual([0, 0, refused, 0, refused]);
    expect([a, b, c].map((guest) => guest.vsock.stats.connections)).toEqual([3, 2, 1]);
    expect(b.vsock.stats.refused).toBe(1);
  });

  test("a machine that drains refuses, and its connections end", async () => {
    const { a, b, near, far } = await linked();
    let drained = false;
    void b.vsock.drain().then(() => {
      drained = true;
    });
    expect(a.connect(4, 80)[1]).toBe(-Errno.ECONNRESET);
    expect(b.read(far, 10)).toEqual({ bytes: said(""), end: 0 });
    expect(b.send(far, said("last words"))()).toBe(10);
    b.start("close", far);
    expect(a.read(near, 100)).toEqual({ bytes: said("last words"), end: 0 });
    a.start("close", near);
    await Promise.resolve();
    expect([drained, b.vsock.stats.connections]).toEqual([true, 0]);
  });
});

describe("a guest that goes away", () => {
  test("V14: resets its peers in the middle of a transfer", async () => {
    const { a, b, near, far, fleet } = await linked();
    const send = a.send(near, noise(2 * MIB));
    b.send(far, noise(2 * MIB));
    const before = send();
    b.halves.machine.dispose();
    fleet.settle();
    expect([before, (send() ?? 0) < 2 * MIB]).toEqual([undefined, true]);
    expect(a.send(near, said("x"))()).toBe(-Errno.ECONNRESET);
    expect(a.vsock.stats).toMatchObject({ connections: 0, resetsSent: 1 });
    expect(b.vsock.stats.connections).toBe(0);
    expect(fleet.network.cids).toEqual([3]);
    expect(a.connect(4, 80)[1]).toBe(-Errno.ECONNRESET);
  });

  test("V14: loses its connections but keeps its CID when its device is reset", async () => {
    const { a, b, near, far, fleet } = await linked();
    const send = a.send(near, noise(2 * MIB));
    b.send(far, noise(2 * MIB));
    const before = send();
    b.vsock.reset();
    fleet.settle();
    expect([before, (send() ?? 0) < 2 * MIB]).toEqual([undefined, true]);
    expect(a.send(near, said("x"))()).toBe(-Errno.ECONNRESET);
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
    expect(fleet.network.cids).toEqual([3, 4]);
  });

  test("leaves nothing of connections that it had closed", async () => {
    const { a, b, near, far, fleet } = await linked();
    a.halves.start("send", near, a.put(said("farewell")), 8);
    a.halves.start("close", near);
    a.halves.machine.dispose();
    fleet.settle();
    expect(b.read(far, 100)).toEqual({ bytes: said("farewell"), end: 0 });
    b.start("close", far);
    expect(b.vsock.stats.connections).toBe(0);
  });
});

describe("messages of two guests", () => {
  const SEQPACKET = 5;
  const DONTWAIT = 0x40;
  const MSG_TRUNC = 0x20;
  const MSG_EOR = 0x80;

  test("V18: arrive one by one, whole, with their marks", async () => {
    const { a, b, near, far, fleet } = await linked({}, {}, SEQPACKET);
    const sent = [said("a"), noise(100_000), said("the last of a record")];
    for (const [i, bytes] of sent.entries()) {
      const flags = i === 2 ? MSG_EOR : 0;
      expect(a.start("send", near, a.put(bytes), bytes.length, flags)()).toBe(bytes.length);
    }
    const room = b.allocate(200_000);
    for (const [i, bytes] of sent.entries()) {
      expect(b.start("recv", far, room, 200_000)()).toBe(bytes.length);
      expect(b.bytes(room, bytes.length)).toEqual(new Uint8Array(bytes));
      expect(b.call("SysSocketMessageFlags", far)).toBe(i === 2 ? MSG_EOR : 0);
    }
    expect(b.start("recv", far, room, 100, DONTWAIT)()).toBe(-Errno.EAGAIN);
    b.send(far, said("answer"));
    expect(a.start("recv", near, a.allocate(3), 3, MSG_TRUNC)()).toBe(6);
    a.start("close", near);
    expect(b.start("recv", far, room, 100)()).toBe(0);
    expect(fleet.faults()).toBe(0);
  });

  test("V33: finds no listener for a socket of the other type", async () => {
    const { a } = await linked({}, {}, SEQPACKET);
    expect(a.connect(4, 80)[1]).toBe(-Errno.ECONNRESET);
  });
});
