// A client that has ended, and a guest that says nothing: who waits for whom, and how long.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test, vi } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { HALF_CLOSE_MS } from "../../../host/devices/vsock/connection/timeouts.ts";
import { NodeSockets } from "../../../host/node/sockets/node-sockets.ts";
import { bootPublished, type Packet, VsockPuppet } from "../../support/vsock-puppet.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));
const PATIENCE = { timeout: 120_000, interval: 1 };
const [RCV, SEND, BOTH] = [1, 2, 3];
/** Deadlines are looked at four times a second. */
const SWEEP_MS = 250;

async function halfClosed() {
  const puppet = await bootPublished();
  const opened = puppet.open();
  opened.client.events.end();
  expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: SEND }]);
  return { puppet, ...opened };
}

describe("a client that has ended, on a host that cannot tell whether it is still there", () => {
  test("is given up after two silent minutes of the guest: SHUTDOWN(both), then RST", async () => {
    const { puppet, client } = await halfClosed();
    puppet.advance(HALF_CLOSE_MS - SWEEP_MS);
    expect(puppet.take()).toEqual([]);
    puppet.advance(2 * SWEEP_MS);
    expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: BOTH }]);
    puppet.advance(2000 + SWEEP_MS);
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect(puppet.device.stats.connections).toBe(0);
    expect(puppet.timers).toBe(0);
  });

  test("leaves no connection of 200, and no drain that waits", async () => {
    const puppet = await bootPublished();
    const clients = Array.from({ length: 200 }, () => puppet.open().client);
    for (const client of clients) client.events.end();
    const drained = puppet.device.drain();
    for (const ms of [HALF_CLOSE_MS, 3000]) {
      puppet.advance(ms);
      while (puppet.take().length > 0);
    }
    for (const client of clients) client.events.closed();
    await drained;
    expect(puppet.device.stats.connections).toBe(0);
  });

  test("gets a long answer as long as the guest sends now and then", async () => {
    const { puppet, client, hostPort } = await halfClosed();
    for (let i = 0; i < 10; i++) {
      puppet.advance(HALF_CLOSE_MS - SWEEP_MS);
      puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from(`${i}`) });
    }
    expect(client.received.toString()).toBe("0123456789");
    puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: BOTH });
    expect(puppet.ops()).toEqual([VsockOp.RST]);
    expect(client.calls).toEqual(["close"]);
  });

  test("does not count a guest as silent that reads the rest slowly", async () => {
    const puppet = await bootPublished();
    const { client, hostPort } = puppet.open({ bufAlloc: 1 });
    client.say("0123456789");
    client.events.end();
    let heard = "";
    for (let fwdCnt = 1; fwdCnt <= 10; fwdCnt++) {
      puppet.advance(HALF_CLOSE_MS - SWEEP_MS);
      puppet.send({ op: VsockOp.CREDIT_UPDATE, hostPort, bufAlloc: 1, fwdCnt });
      for (const { op, data } of puppet.take()) if (op === VsockOp.RW) heard += Buffer.from(data);
    }
    expect(heard).toBe("0123456789");
    expect(client.calls).toEqual([]);
  });
});

test("keeps a client that has ended and is still there for ever, and gives it up once it has left", async () => {
  const { puppet, client, hostPort } = await halfClosed();
  let gone = false;
  Object.assign(client, { peerGone: () => gone });
  puppet.advance(20 * HALF_CLOSE_MS);
  expect(puppet.take()).toEqual([]);
  puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("late") });
  expect(client.received.toString()).toBe("late");
  gone = true;
  puppet.advance(HALF_CLOSE_MS + SWEEP_MS);
  expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: BOTH }]);
  puppet.send({ op: VsockOp.RST, hostPort });
  expect(client.calls).toEqual(["reset"]);
});

test("answers a guest that has ended as well, and leaves no deadline", async () => {
  const { puppet, client, hostPort } = await halfClosed();
  puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: SEND });
  expect(client.calls).toEqual(["end"]);
  client.events.closed();
  expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: BOTH }]);
  puppet.send({ op: VsockOp.RST, hostPort });
  puppet.advance(1000);
  expect([puppet.device.stats.connections, puppet.timers]).toEqual([0, 0]);
});

test("gives a client that ended and a deaf guest the same time, since nobody writes", async () => {
  const { puppet, client, hostPort } = await halfClosed();
  puppet.send({ op: VsockOp.SHUTDOWN, hostPort, flags: RCV });
  puppet.advance(HALF_CLOSE_MS + SWEEP_MS);
  expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: BOTH }]);
  expect(client.calls).toEqual([]);
});

// Its own kernel says so, of AF_UNIX at once.
test.each([
  ["has ended", (client: net.Socket) => void client.end(), false],
  ["has left", (client: net.Socket) => void client.destroy(), true],
])("a client of AF_UNIX that %s is distinguished from one that has not", async (_, act, gone) => {
  const puppet = new VsockPuppet({ sockets: new NodeSockets() });
  const path = join(folder, "socket");
  await puppet.device.publishPath(path);
  puppet.boot();
  const client = net.connect({ path, allowHalfOpen: true });
  client.on("error", () => {}).resume();
  client.write("CONNECT 80\n");
  await vi.waitUntil(() => puppet.device.stats.connections === 1, PATIENCE);
  const [{ hostPort }] = puppet.take() as [Packet];
  puppet.send({ op: VsockOp.RESPONSE, hostPort });
  puppet.take();
  await vi.waitUntil(() => client.bytesRead > 0, PATIENCE);
  act(client);
  const before = puppet.device.stats.packetsToGuest;
  await vi.waitUntil(() => puppet.device.stats.packetsToGuest > before, PATIENCE);
  expect(puppet.take()).toMatchObject([{ op: VsockOp.SHUTDOWN, flags: SEND }]);
  puppet.advance(HALF_CLOSE_MS + SWEEP_MS);
  const said = puppet.take();
  expect(said).toMatchObject(gone ? [{ op: VsockOp.SHUTDOWN, flags: BOTH }] : []);
  expect(said).toHaveLength(gone ? 1 : 0);
  puppet.device.dispose();
  client.destroy();
});
