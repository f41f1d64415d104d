// Much, for long: real sockets at once, with connections that are cut from either end among them;
// and connections one after the other. Everything is as before when it is over.
import { createHash } from "node:crypto";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { until } from "../support/appliance.ts";
import { socketsOpen } from "../support/descriptors.ts";
import { compileGuest } from "../support/guest.ts";
import { BothHalves, type HalvesOptions } from "../support/kernel-and-devices.ts";
import { Random } from "../support/simulation-random.ts";

const MIB = 1024 * 1024;
const [ECHO, RUDE] = [7, 8];
const image = await compileGuest("test/guest/client.ts");
const machines: BothHalves[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

async function boot(options: HalvesOptions = {}): Promise<BothHalves> {
  const halves = await BothHalves.boot(image, options);
  machines.push(halves);
  halves.call("serveEcho", ECHO);
  halves.call("serveRude", RUDE);
  return halves;
}

const noise = Buffer.alloc(20 * MIB);
const random = new Random(5);
for (let i = 0; i < noise.length; i += 4) noise.writeUInt32LE(random.below(2 ** 32), i);

/** Sends 20 MiB, rotated by `shift` so that no two are alike; rejects unless they come back. */
async function transfer(port: number, shift: number): Promise<void> {
  const sent = Buffer.concat([noise.subarray(shift), noise.subarray(0, shift)]);
  const wanted = createHash("sha1").update(sent).digest("hex");
  const got = createHash("sha1");
  await new Promise<void>((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("data", (chunk) => void got.update(chunk));
    socket.on("error", reject);
    socket.on("close", () => resolve());
    socket.end(sent);
  });
  expect(got.digest("hex")).toBe(wanted);
}

/** Leaves in the middle, by a reset or by an end; or talks to one who leaves. */
function interrupted(
  port: number,
  bytes: number,
  how: "destroy" | "reset" | "rude",
): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    let seen = 0;
    socket.on("data", (chunk) => {
      seen += chunk.length;
      if (seen < bytes) return;
      if (how === "reset") socket.resetAndDestroy();
      else socket.destroy();
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve());
    socket.write(noise.subarray(0, MIB));
  });
}

test("50 transfers of 20 MiB over 16 connections arrive whole, with 100 others cut among them", async () => {
  const halves = await boot({ real: true, machine: { memoryBytes: 64 * MIB } });
  const [echo, rude] = await Promise.all([halves.publish(ECHO), halves.publish(RUDE)]);
  await transfer(echo.port, 4);
  await until(() => halves.vsock.stats.connections === 0);
  const before = [halves.call("heapBlocks"), socketsOpen()];
  let next = 0;
  const worker = async () => {
    while (next < 50) await transfer(echo.port, 4 * ++next);
  };
  const ways = ["destroy", "reset", "rude"] as const;
  const disturb = async () => {
    for (let i = 0; i < 100; i++) {
      const how = ways[i % 3] ?? "rude";
      await interrupted(how === "rude" ? rude.port : echo.port, random.below(MIB / 2), how);
    }
  };
  await Promise.all([disturb(), ...Array.from({ length: 16 }, worker)]);
  await until(() => halves.vsock.stats.connections === 0);
  expect(halves.vsock.connections()).toEqual([]);
  await until(() => halves.call("heapBlocks") === before[0]);
  await until(() => socketsOpen() === before[1]);
  expect(halves.faults()).toBe(0);
}, 300_000);

test("100,000 connections in a row leave no trace", async () => {
  const halves = await boot();
  await halves.publish(ECHO);
  const once = () => {
    const client = halves.client();
    client.write(Buffer.from("hello"));
    client.finish();
    halves.settle();
    const [echoed] = client.received;
    const isWhole = echoed?.toString() === "hello" && client.ended && client.gone;
    halves.clients.pop();
    return isWhole;
  };
  for (let i = 0; i < 100; i++) once();
  const before = [halves.call("heapBlocks"), halves.call("heapInUse")];
  let whole = 0;
  for (let i = 0; i < 100_000; i++) whole += Number(once());
  expect(whole).toBe(100_000);
  expect([halves.call("heapBlocks"), halves.call("heapInUse")]).toEqual(before);
  expect(halves.vsock.connections()).toEqual([]);
  expect(halves.faults()).toBe(0);
}, 300_000);
