// Both halves against each other: the kernel's sockets and files, the real devices, and nothing
// scripted between them.
import { createHash } from "node:crypto";
import { once } from "node:events";
import { writeFileSync } from "node:fs";
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Errno } from "../../abi/errno.ts";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../../abi/virtio.ts";
import { FsDevice } from "../../host/node/devices.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { compileOnce } from "../support/compiled.ts";
import { compileGuest } from "../support/guest.ts";
import { BothHalves, type HalvesOptions } from "../support/kernel-and-devices.ts";
import { Random } from "../support/simulation-random.ts";
import type { SimulatedSocket } from "../support/simulation-socket.ts";

const image = await compileGuest("test/guest/client.ts");
const MIB = 1024 * 1024;
const machines: BothHalves[] = [];

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

async function compileShared(): Promise<WebAssembly.Module> {
  const flags = ["--sharedMemory", "--enable", "threads"];
  const { wasm } = await compileOnce("test/guest/client.ts", "test", {
    kind: "calls",
    coverage: "all",
    flags,
  });
  return new WebAssembly.Module(wasm);
}

async function boot(options: HalvesOptions = {}): Promise<BothHalves> {
  const halves = await BothHalves.boot(image, options);
  machines.push(halves);
  return halves;
}

function noise(bytes: number, seed = 1): Buffer {
  const buffer = Buffer.alloc(bytes);
  const random = new Random(seed);
  for (let i = 0; i + 4 <= bytes; i += 4) buffer.writeUInt32LE(random.below(2 ** 32), i);
  return buffer;
}

/** The bytes that serveSource() sends. */
function sourced(bytes: number): Buffer {
  const buffer = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) buffer[i] = (i * 7) % 251;
  return buffer;
}
const hash = (pieces: readonly Buffer[]) => {
  const sum = createHash("sha256");
  for (const piece of pieces) sum.update(piece);
  return sum.digest("hex");
};
/** Lets the host's events come until `condition` holds. */
async function soon(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}
const text = (socket: SimulatedSocket) => Buffer.concat(socket.received).toString();

const NO_EVENT_IDX = 1n << BigInt(VIRTIO_F_EVENT_IDX);
const NO_INDIRECT = 1n << BigInt(VIRTIO_F_INDIRECT_DESC);

describe("an echo of 20 MiB arrives whole", () => {
  test.each([
    ["all ring features", 0n],
    ["no EVENT_IDX", NO_EVENT_IDX],
    ["no INDIRECT_DESC", NO_INDIRECT],
    ["neither", NO_EVENT_IDX | NO_INDIRECT],
  ])("V6, C1: with %s", async (_, withheldFeatures) => {
    const halves = await boot({ machine: { withheldFeatures } });
    await halves.publish(7);
    halves.call("serveEcho", 7);
    const blocks = halves.call("heapBlocks");
    const client = halves.client();
    const sent = noise(20 * MIB);
    client.write(sent);
    client.finish();
    halves.settle();
    expect(client.receivedBytes).toBe(20 * MIB);
    expect(hash(client.received)).toBe(hash([sent]));
    expect(client.ended && client.gone && !client.broken).toBe(true);
    expect(halves.vsock.stats.connections).toBe(0);
    expect(halves.call("heapBlocks")).toBe(blocks);
    expect(halves.faults()).toBe(0);
  });

  test.each([[false], [true]])("V6: over TCP, with sharedMemory %s", async (sharedMemory) => {
    const shared = sharedMemory ? { image: await compileShared(), sharedMemory } : {};
    const halves = await boot({ real: true, machine: shared });
    halves.call("serveEcho", 7);
    const { port } = await halves.publish(7);
    const socket = net.connect({ port, host: "127.0.0.1" });
    const sent = noise(20 * MIB);
    const received: Buffer[] = [];
    socket.on("data", (chunk) => received.push(chunk));
    socket.end(sent);
    await once(socket, "close");
    expect(hash(received)).toBe(hash([sent]));
    await until(() => halves.vsock.stats.connections === 0);
    expect(halves.faults()).toBe(0);
  });

  test("two machines of one process, with CIDs of their own, do not meet", async () => {
    const pair = await Promise.all([3, 4].map((cid) => boot({ vsock: { cid } })));
    for (const halves of pair) {
      await halves.publish(7);
      halves.call("serveEcho", 7);
    }
    const sent = pair.map((_, i) => noise(MIB, i + 1));
    const clients = pair.map((halves) => halves.client());
    for (let at = 0; at < MIB; at += 50_000) {
      pair.forEach((halves, i) => {
        clients[i]?.write((sent[i] as Buffer).subarray(at, at + 50_000));
        halves.settle();
      });
    }
    clients.forEach((client, i) => {
      expect(hash(client.received)).toBe(hash([sent[i] as Buffer]));
    });
    expect(pair.map((halves) => halves.faults())).toEqual([0, 0]);
  });
});

/** A connection of a client to a guest that calls one by one. */
async function accepted(): Promise<{
  halves: BothHalves;
  client: SimulatedSocket;
  socket: number;
}> {
  const halves = await boot();
  await halves.publish(80);
  const listener = halves.call("SysSocket", 1);
  halves.call("SysSocketBind", listener, 80);
  halves.call("SysSocketListen", listener, 8);
  const client = halves.client();
  const socket = halves.start("accept", listener)();
  if (socket === undefined || socket < 0) throw new Error(`accept: ${socket}`);
  return { halves, client, socket };
}

describe("half-close", () => {
  test("V15: the guest ends its direction and still receives all of the client's", async () => {
    const { halves, client, socket } = await accepted();
    const at = halves.call("ToroGetMem", 4 * MIB);
    halves.machine.memory.bytes(at, 4).set(Buffer.from("bye!"));
    expect(halves.start("send", socket, at, 4)()).toBe(4);
    expect(halves.start("shutdown", socket, 1)()).toBe(0);
    halves.settle();
    expect([text(client), client.ended, client.gone]).toEqual(["bye!", true, false]);
    expect(halves.start("send", socket, at, 4)()).toBe(-Errno.EPIPE);
    const sent = noise(3 * MIB);
    client.write(sent);
    client.finish();
    let got = 0;
    for (let n = -1; n !== 0; got += n) {
      n = halves.start("recv", socket, at + got, 4 * MIB - got)() ?? 0;
      expect(n).toBeGreaterThanOrEqual(0);
    }
    expect(hash([Buffer.from(halves.machine.memory.bytes(at, got))])).toBe(hash([sent]));
    halves.start("close", socket);
    expect(halves.vsock.stats.connections).toBe(0);
  });

  test("V15: the client ends its direction and still receives all of the guest's", async () => {
    const { halves, client, socket } = await accepted();
    client.write(Buffer.from("last words"));
    client.finish();
    halves.settle();
    const at = halves.call("ToroGetMem", 2 * MIB);
    expect(halves.start("recv", socket, at, 100)()).toBe(10);
    expect(halves.start("recv", socket, at, 100)()).toBe(0);
    const sent = noise(2 * MIB);
    halves.machine.memory.bytes(at, 2 * MIB).set(sent);
    expect(halves.start("send", socket, at, 2 * MIB)()).toBe(2 * MIB);
    halves.start("close", socket);
    expect(hash(client.received)).toBe(hash([sent]));
    expect([client.gone, client.broken]).toEqual([true, false]);
  });
});

describe("connections that the guest begins", () => {
  const target = { host: "127.0.0.1", port: 9 };
  const connecting = async () => {
    const halves = await boot({ vsock: { connect: new Map([[7, target]]) } });
    const socket = halves.call("SysSocket", 1);
    return { halves, socket };
  };

  test("K8: one to a mapped port is connected once the host's socket is", async () => {
    const { halves, socket } = await connecting();
    const result = halves.start("connect", socket, 2, 7);
    const [made] = halves.network.connects;
    expect([made?.target, result()]).toEqual([target, undefined]);
    made?.socket.events.connected();
    halves.settle();
    expect(result()).toBe(0);
    const at = halves.call("ToroGetMem", 100);
    halves.machine.memory.bytes(at, 5).set(Buffer.from("hello"));
    halves.start("send", socket, at, 5);
    made?.socket.write(Buffer.from("welcome"));
    halves.settle();
    expect(text(made?.socket as SimulatedSocket)).toBe("hello");
    expect(halves.start("recv", socket, at, 100)()).toBe(7);
  });

  test("K8: refused by the host's target, by the device, or not answered, it ends as an error", async () => {
    const { halves, socket } = await connecting();
    const refused = halves.start("connect", socket, 2, 7);
    halves.network.connects[0]?.socket.fail();
    halves.settle();
    expect(refused()).toBe(-Errno.ECONNRESET);
    expect(halves.start("connect", halves.call("SysSocket", 1), 2, 8)()).toBe(-Errno.ECONNRESET);
    const silent = halves.start("connect", halves.call("SysSocket", 1), 2, 7);
    halves.advance(10_000);
    expect([-Errno.ECONNRESET, -Errno.ETIMEDOUT]).toContain(silent());
    expect(halves.vsock.stats.connections).toBe(0);
    expect(halves.faults()).toBe(0);
  });

  test("K8: over TCP, to a server that echoes", async () => {
    const server = net
      .createServer({ noDelay: true }, (peer) => peer.pipe(peer))
      .listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address() as net.AddressInfo;
    const connect = new Map([[7, { host: "127.0.0.1", port }]]);
    const halves = await boot({ real: true, vsock: { connect } });
    const socket = halves.call("SysSocket", 1);
    const connected = halves.start("connect", socket, 2, 7);
    await until(() => connected() !== undefined);
    expect(connected()).toBe(0);
    const at = halves.call("ToroGetMem", 2 * MIB);
    const sent = noise(MIB);
    halves.machine.memory.bytes(at, MIB).set(sent);
    const send = halves.start("send", socket, at, MIB);
    for (let got = 0; got < MIB; ) {
      const received = halves.start("recv", socket, at + MIB + got, MIB - got);
      await soon(() => received() !== undefined);
      got += received() as number;
    }
    expect(send()).toBe(MIB);
    const echoed = Buffer.from(halves.machine.memory.bytes(at + MIB, MIB));
    expect(hash([echoed])).toBe(hash([sent]));
    halves.start("close", socket);
    await until(() => halves.vsock.stats.connections === 0);
    server.close();
  });
});

describe("peers of all kinds", () => {
  test("G14, M3: a receiver that never reads stops only its own sender, by credit", async () => {
    const halves = await boot();
    await halves.publish(80);
    const bytes = MIB;
    const whole = hash([sourced(bytes)]);
    halves.call("serveSource", 80, bytes);
    const before = halves.call("heapInUse");
    const stuck = Array.from({ length: 5 }, () => halves.client(() => false));
    for (const client of stuck) client.takes = () => false;
    const kicks = halves.vsock.stats.packetsFromGuest;
    halves.settle();
    expect(halves.vsock.stats.packetsFromGuest).toBe(kicks);
    // A thread with its stack, a buffer, and packets within the window for each.
    expect(halves.call("heapInUse") - before).toBeLessThan(5 * (64 + 64 + 256 + 64) * 1024);
    let turn = 0;
    const slow = halves.client(() => turn++ % 3 === 0);
    const fast = halves.client();
    for (const client of [slow, fast]) {
      expect(hash(client.received)).toBe(whole);
      expect([client.gone, client.broken]).toEqual([true, false]);
    }
    expect(stuck.map((client) => client.receivedBytes)).toEqual([0, 0, 0, 0, 0]);
    for (const client of stuck) client.takes = () => true;
    halves.settle();
    for (const client of stuck) expect(hash(client.received)).toBe(whole);
    expect(halves.call("heapInUse")).toBe(before);
    expect(halves.faults()).toBe(0);
  });

  test("V14: a peer that resets in the middle ends the calls that wait for it", async () => {
    const { halves, client, socket } = await accepted();
    const at = halves.call("ToroGetMem", 2 * MIB);
    client.takes = () => false;
    const send = halves.start("send", socket, at, 2 * MIB);
    const receive = halves.start("recv", socket, at, 10);
    expect([send(), receive()]).toEqual([undefined, undefined]);
    client.fail();
    halves.settle();
    expect(receive()).toBe(-Errno.ECONNRESET);
    expect(send()).toBeLessThan(2 * MIB); // what was sent before
    expect(halves.start("send", socket, at, 1)()).toBeLessThan(0);
    halves.start("close", socket);
    expect([halves.vsock.stats.connections, halves.call("liveSockets")]).toEqual([0, 1]);
  });

  test.each([[1000], [7000], [20_000]])(
    "V16: the guest closes with data in flight, and all of it arrives %i ms later",
    async (ms) => {
      const halves = await boot();
      await halves.publish(80);
      halves.call("serveSource", 80, 200_000);
      const client = halves.client(() => false);
      expect(client.receivedBytes).toBe(0);
      halves.advance(ms);
      client.takes = () => true;
      halves.settle();
      expect(hash(client.received)).toBe(hash([sourced(200_000)]));
      expect([client.gone, client.broken]).toEqual([true, false]);
      halves.advance(60_000);
      expect([halves.vsock.stats.connections, halves.call("liveSockets")]).toEqual([0, 1]);
    },
  );
});

describe("files", () => {
  class SmallFs extends FsDevice {
    override readonly queueSizesMax = [4, 8];
  }

  test.each([
    ["all ring features", 0n],
    ["neither EVENT_IDX nor INDIRECT_DESC", NO_EVENT_IDX | NO_INDIRECT],
  ])("F5: a file of 5 MiB is read whole over queues of 8, with %s", async (_, withheldFeatures) => {
    const directory = makeFolder();
    const content = noise(5 * MIB + 123);
    writeFileSync(`${directory}/f`, content);
    const fs = new SmallFs({ directory, tag: "site", readOnly: true });
    const halves = await boot({ more: [fs], machine: { withheldFeatures } });
    for (const piece of [1_500_000, 10_007]) {
      const at = halves.call("ToroGetMem", 6 * MIB);
      halves.call("readFile", at, 6 * MIB, piece);
      await until(() => halves.call("fileResult") !== -1);
      expect(halves.call("fileResult")).toBe(content.length);
      const read = Buffer.from(halves.machine.memory.bytes(at, content.length));
      expect(hash([read])).toBe(hash([content]));
      halves.call("ToroFreeMem", at);
    }
    expect(halves.faults()).toBe(0);
  });
});
