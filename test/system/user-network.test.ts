// The `user` network over real sockets of Node, of both kinds: a guest's TCP in virtual time
// against servers and clients of this process, and no descriptor that stays.
import { createHash } from "node:crypto";
import dgram from "node:dgram";
import { once } from "node:events";
import net, { type AddressInfo } from "node:net";
import { afterAll, describe, expect, test } from "vitest";
import { TH_RST } from "../../abi/tcp.ts";
import { NodeDatagrams } from "../../host/node/sockets/node-datagrams.ts";
import { NodeSockets } from "../../host/node/sockets/node-sockets.ts";
import type { TcpAddress } from "../../host/ports/sockets.ts";
import { socketsOpen } from "../support/descriptors.ts";
import { noise } from "../support/frames.ts";
import { SOCKET_KINDS } from "../support/socket-kinds.ts";
import { exchange, TcpPeer } from "../support/tcp-peer.ts";
import { UserLab, type UserLabOptions } from "../support/user-lab.ts";

const BYTES = 3_000_000;
const sum = (bytes: Uint8Array) => createHash("sha1").update(bytes).digest("hex");
const nextTurn = () => new Promise((resolve) => setImmediate(resolve));

/** Turns of the event loop, and segments both ways, until it is so. */
async function until(lab: UserLab, peers: readonly TcpPeer[], isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    exchange(lab, peers);
    await nextTurn();
  }
}

const closing: (() => void)[] = [];
afterAll(() => {
  for (const close of closing) close();
});

/** A server on 127.0.0.1; returns its port. */
async function serve(accept: (socket: net.Socket) => void): Promise<number> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    accept(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  closing.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

describe.each(SOCKET_KINDS)("over sockets of kind %s", (kind) => {
  const sockets = new NodeSockets({ kind });
  const create = (options: UserLabOptions = {}) => new UserLab({ sockets, ...options });

  test("an echo of 3 MB comes back whole, and both ends of it end", async () => {
    await sockets.prepare();
    const port = await serve((socket) => socket.pipe(socket));
    const lab = create({ allow: [port] });
    const peer = new TcpPeer(lab, { remotePort: port });
    peer.connect();
    const bytes = noise(BYTES, 1);
    await until(lab, [peer], () => peer.isOpen);
    peer.send(bytes);
    peer.end();
    await until(lab, [peer], () => peer.hasEnded);
    expect(sum(peer.received)).toBe(sum(bytes));
    await until(lab, [peer], () => lab.stats.tcpFlows === 0);
    expect(lab.stats.retransmitted).toBe(0);
  });

  test("a port that nobody listens on is refused", async () => {
    const port = await serve(() => {});
    closing.pop()?.();
    const lab = create({ allow: [port] });
    const peer = new TcpPeer(lab, { remotePort: port });
    peer.connect();
    await until(lab, [peer], () => peer.isReset);
    expect(peer.segments.at(-1)?.flags).toBe(TH_RST | 16);
  });

  test("clients of a published port reach the guest, and hear its end", async () => {
    const lab = create();
    const bound = await lab.network.publish({ port: 0, guestPort: 80 });
    const client = net.connect({ ...(bound as TcpAddress), allowHalfOpen: true });
    const peer = new TcpPeer(lab, { port: 80 });
    const question = noise(BYTES, 2);
    client.end(question);
    await until(lab, [peer], () => peer.hasEnded);
    expect(sum(peer.received)).toBe(sum(question));
    let answer = Buffer.alloc(0);
    let hasEnded = false;
    client.on("data", (chunk: Buffer) => {
      answer = Buffer.concat([answer, chunk]);
    });
    client.on("end", () => {
      hasEnded = true;
    });
    peer.send(noise(BYTES, 3));
    peer.end();
    await until(lab, [peer], () => hasEnded && lab.stats.tcpFlows === 0);
    expect(sum(answer)).toBe(sum(noise(BYTES, 3)));
  });

  test("a slow reader on the host closes the guest's window, and loses nothing", async () => {
    let reader: net.Socket | null = null;
    const port = await serve((socket) => {
      reader = socket.pause();
    });
    const lab = create({ allow: [port] });
    const peer = new TcpPeer(lab, { remotePort: port });
    peer.connect();
    await until(lab, [peer], () => peer.isOpen && reader !== null);
    const bytes = noise(24_000_000, 4); // more than the kernel takes of its own accord
    peer.send(bytes);
    peer.end();
    await until(lab, [peer], () => peer.peerWindow === 0);
    const got = createHash("sha1");
    let hasEnded = false;
    const socket = reader as unknown as net.Socket;
    socket
      .on("data", (chunk) => got.update(chunk))
      .on("end", () => {
        hasEnded = true;
      });
    socket.resume();
    await until(lab, [peer], () => hasEnded);
    expect(got.digest("hex")).toBe(sum(bytes));
  });

  test("a reset of either side reaches the other", async () => {
    const accepted: net.Socket[] = [];
    const port = await serve((socket) => void accepted.push(socket));
    const lab = create({ allow: [port] });
    const [a, b] = [50000, 50001].map((own) => new TcpPeer(lab, { port: own, remotePort: port }));
    const peers = [a, b] as TcpPeer[];
    for (const peer of peers) peer.connect();
    await until(lab, peers, () => peers.every(({ isOpen }) => isOpen) && accepted.length === 2);
    const [first, second] = accepted as [net.Socket, net.Socket];
    let isReset = false;
    second.on("error", () => {
      isReset = true;
    });
    first.on("error", () => {
      isReset = true;
    });
    peers[0]?.reset();
    await until(lab, peers, () => isReset);
    const rest = [first, second].find(({ destroyed }) => !destroyed) as net.Socket;
    rest.resetAndDestroy();
    await until(lab, peers, () => peers[1]?.isReset === true);
    await until(lab, peers, () => lab.stats.tcpFlows === 0);
  });

  test("the end of the machine leaves no socket of the host", async () => {
    const accepted: net.Socket[] = [];
    const port = await serve((socket) => void accepted.push(socket.pause()));
    const before = socketsOpen();
    const lab = create({ allow: [port], datagrams: new NodeDatagrams() });
    const bound = await lab.network.publish({ port: 0, guestPort: 80 });
    const peers = Array.from(
      { length: 20 },
      (_, n) => new TcpPeer(lab, { port: 50000 + n, remotePort: port }),
    );
    for (const peer of peers) peer.connect();
    await until(lab, peers, () => peers.every(({ isOpen }) => isOpen));
    for (const peer of peers) peer.send(noise(300_000, 1));
    const client = net.connect(bound as TcpAddress);
    client.on("error", () => {});
    lab.udp({ sourcePort: 9, port, payload: noise(10) });
    const all = [...peers, new TcpPeer(lab, { port: 80 })];
    await until(lab, all, () => all.every(({ isOpen }) => isOpen) && accepted.length === 20);
    expect(socketsOpen()).toBeGreaterThan(before + 20);
    lab.guest.device.dispose();
    for (const socket of [client, ...accepted]) socket.destroy(); // those of the test
    await until(lab, [], () => lab.stats.tcpFlows === 0 && socketsOpen() <= before);
    expect(lab.stats.udpFlows).toBe(0);
  });
});

describe("datagrams of Node", () => {
  test("reach a server and come back, through one socket", async () => {
    const server = dgram.createSocket("udp4");
    closing.push(() => server.close());
    server.on("message", (bytes, { port, address }) => server.send(bytes, port, address));
    server.bind(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    const lab = new UserLab({ datagrams: new NodeDatagrams(), allow: [port] });
    const sent = [0, 1, 1472, 9000].map((bytes) => noise(bytes, bytes));
    for (const payload of sent) lab.udp({ sourcePort: 7, port, payload });
    const got: Buffer[] = [];
    while (got.length < sent.length) {
      got.push(...lab.datagramsTaken().map(({ payload }) => Buffer.from(payload)));
      await nextTurn();
    }
    expect(got).toEqual(sent);
    lab.guest.device.dispose();
  });

  test("to a port that nobody listens on end the flow", async () => {
    const taken = dgram.createSocket("udp4").bind(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address();
    taken.close();
    await once(taken, "close");
    const lab = new UserLab({ datagrams: new NodeDatagrams(), allow: [port] });
    lab.udp({ sourcePort: 7, port, payload: noise(3) });
    expect(lab.stats.udpFlows).toBe(1);
    while (lab.stats.udpFlows > 0) await nextTurn();
    lab.guest.device.dispose();
  });
});
