// Saving a machine under traffic, over real TCP: its clients notice nothing.
import { mkdirSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { makeFolder, parseResponses, removeFolders } from "../support/appliance.ts";
import { webServer } from "../support/snapshot-site.ts";

const SNAPSHOTS = 100;
const FILES = 20;
let directory: string;
beforeAll(() => {
  directory = makeFolder();
  mkdirSync(directory, { recursive: true });
  for (let i = 0; i < FILES; i++)
    writeFileSync(`${directory}/f${i}`, `${i}`.repeat(1000 + 997 * i));
});
afterAll(removeFolders);

const devices = () => {
  const vsock = new VsockDevice({});
  return { vsock, fs: new FsDevice({ directory, tag: "site", readOnly: true }) };
};

/** Asks for files, one after the other, until told to end; returns how many there were. */
function client(port: number, id: number, isOver: () => boolean): Promise<number> {
  return new Promise((resolve, reject) => {
    let count = 0;
    let bytes = Buffer.alloc(0);
    const wanted = () => (id + count) % FILES;
    const ask = () => socket.write(`GET /f${wanted()} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const socket = net.connect(port, "127.0.0.1", ask);
    socket.on("error", reject);
    socket.on("close", () => reject(new Error("the server has closed")));
    socket.on("data", (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      const length = /content-length: (\d+)/i.exec(bytes.toString("latin1"))?.[1];
      const head = bytes.indexOf("\r\n\r\n");
      if (length === undefined || head < 0 || bytes.length < head + 4 + Number(length)) return;
      const [response] = parseResponses(bytes.toString("latin1"));
      expect(response?.status).toBe(200);
      expect(response?.body).toBe(`${wanted()}`.repeat(1000 + 997 * wanted()));
      bytes = Buffer.alloc(0);
      count++;
      if (!isOver()) return ask();
      socket.removeAllListeners("close");
      socket.end(() => resolve(count));
    });
  });
}

test("SN14 saved a hundred times under traffic: no request of the original is lost", async () => {
  const { vsock, fs } = devices();
  const machine = await Machine.create({
    image: webServer,
    memoryBytes: 16 << 20,
    devices: [vsock, fs],
  });
  const { port } = await vsock.publish({ port: 0, guestPort: 80 });
  machine.boot();
  let isOver = false;
  const clients = Array.from({ length: 8 }, (_, id) => client(port, id, () => isOver));
  const snapshots: Snapshot[] = [];
  for (let i = 0; i < SNAPSHOTS; i++) {
    snapshots.push(await machine.snapshot());
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  isOver = true;
  for (const count of await Promise.all(clients)) expect(count).toBeGreaterThan(0);
  expect(machine.ended).toBe(false);
  expect(machine.registers.map((one) => one.rejectedChains + one.illegalAccesses)).toEqual([0, 0]);
  // And each of them is a machine.
  for (let i = 0; i < SNAPSHOTS; i += 9) {
    const own = devices();
    const clone = await Machine.restore(snapshots[i]!, { devices: [own.vsock, own.fs] });
    const response = await clone.fetch("http://x/f3");
    expect(await response.text()).toBe("3".repeat(1000 + 997 * 3));
    clone.dispose();
  }
  machine.dispose();
});
