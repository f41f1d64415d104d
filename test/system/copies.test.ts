// How often a byte is copied on its way through the whole system: the applications on the real
// device, with clients over TCP, and what guest and host have counted in the end.
import { once } from "node:events";
import { readFileSync, writeFileSync } from "node:fs";
import net from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, expect, test } from "vitest";
import type { VsockOptions } from "../../host/node/devices.ts";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { type GuestStats, readGuestStats } from "../../host/stats.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { pattern } from "../support/socket-guest.ts";

const MB = 1_000_000;
/** The device copies so much of a connection until it reads in place. */
const SWITCH_BYTES = 65536;
/** rx-zerocopy looks at the first byte, if it is there by then, to know a client from a probe. */
const PEEKED = [0, 1];

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});
afterAll(removeFolders);

interface Setup {
  readonly app: string;
  readonly guestPort: number;
  readonly parameters?: string;
  readonly site?: string;
  readonly receive?: VsockOptions["receive"];
}

interface Appliance {
  readonly device: VsockDevice;
  readonly machine: Machine;
  connect(): net.Socket;
}

async function boot({ app, guestPort, parameters = "", site, receive }: Setup): Promise<Appliance> {
  const device = new VsockDevice({ cid: 3, ...(receive && { receive }) });
  const files = site ? [new FsDevice({ directory: site, tag: "site", readOnly: true })] : [];
  const machine = await Machine.create({
    image: readFileSync(`build/${app}.wasm`),
    memoryBytes: 64 * 1024 * 1024,
    parameters,
    devices: [device, ...files],
    console: () => {},
  });
  machines.push(machine);
  machine.boot();
  await device.probe(guestPort);
  const { port } = await device.publish({ port: 0, guestPort });
  return { device, machine, connect: () => net.connect(port, "127.0.0.1") };
}

function guestStats({ machine }: Appliance): GuestStats {
  const stats = readGuestStats(machine.memory);
  if (stats === null) throw new Error("the guest counts nothing");
  return stats;
}

/** Payload bytes that the guest copied. */
function guestCopies(stats: GuestStats): number {
  return stats.userToPacket + stats.packetToRing + stats.ringToSocket + stats.socketToUser;
}

/** All that comes, to the end. */
async function readAll(socket: net.Socket): Promise<Buffer> {
  const parts: Buffer[] = [];
  socket.on("data", (part) => parts.push(part));
  await once(socket, "end");
  return Buffer.concat(parts);
}

/** Sends `bytes` to rx-zerocopy, and returns what was counted when it has taken them. */
async function receive(setup: Omit<Setup, "app" | "guestPort">, bytes: number) {
  const appliance = await boot({ app: "rx-zerocopy", guestPort: 1234, ...setup });
  const client = appliance.connect();
  const ended = readAll(client);
  client.end(pattern(bytes));
  await ended;
  await appliance.machine.exited;
  const guest = guestStats(appliance);
  expect(guest.received).toBe(bytes);
  return { guest, host: appliance.device.stats };
}

test("loans with in-place receive copy nothing, neither in the guest nor on the host", async () => {
  const parameters = "mode=rx zerocopy=1 vsock.rx_copybreak=0";
  const { guest, host } = await receive({ parameters, receive: "in-place" }, 8 * MB);
  expect(PEEKED).toContain(guestCopies(guest));
  expect(guest.loaned).toBe(8 * MB);
  expect(host.copiedToGuest).toBe(0);
  expect(host.bytesInPlace).toBe(8 * MB);
});

test("the area of the RFC shows what the device has put into its own pages, uncopied", async () => {
  const parameters = "mode=rx zerocopy=area vsock.rx_buffers=large vsock.rx_copybreak=0";
  const { guest, host } = await receive({ parameters, receive: "in-place" }, 8 * MB);
  expect(guest.loaned).toBe(8 * MB);
  expect(PEEKED).toContain(guestCopies(guest));
  expect(host.copiedToGuest).toBe(0);
});

test("of an adaptive connection the bytes before the switch are copied once, on the host", async () => {
  const parameters = "mode=rx zerocopy=1 vsock.rx_copybreak=0";
  const { guest, host } = await receive({ parameters }, 8 * MB);
  expect(PEEKED).toContain(guestCopies(guest));
  expect(host.copiedToGuest).toBeGreaterThan(0);
  expect(host.copiedToGuest).toBeLessThanOrEqual(2 * SWITCH_BYTES);
  expect(host.bytesInPlace).toBe(8 * MB - host.copiedToGuest);
});

// Bytes for which the guest has no room are copied once more: the chunk is only lent.
test("receiving by copies is one copy a byte in the guest, and one on the host with chunks", async () => {
  const { guest, host } = await receive({ parameters: "mode=rx", receive: "data" }, 4 * MB);
  expect(PEEKED).toContain(guest.socketToUser - 4 * MB);
  expect(guest.loaned).toBe(0);
  const [, chunks, staged, spilled] = host.copied;
  expect([chunks, staged]).toEqual([4 * MB, 0]);
  expect(spilled).toBeLessThan(MB);
  expect(host.bytesInPlace).toBe(0);
});

test.each([
  ["two-copy", 2, 0],
  ["one-copy", 1, 0],
  ["zero-copy", 0, 1],
])("%s send is %i copies a byte in the guest, and none on the host", async (mode, copies, lent) => {
  const parameters = `mode=tx mb=4 vsock.send=${mode}`;
  const appliance = await boot({ app: "rx-zerocopy", guestPort: 1234, parameters });
  const client = appliance.connect();
  const got = await readAll(client);
  await appliance.machine.exited;
  expect(got.length).toBe(4 * MB);
  for (let i = 0; i < got.length; i += 997) expect(got[i]).toBe(((i % 262144) * 31) & 255);
  const guest = guestStats(appliance);
  expect(guestCopies(guest)).toBe(copies * 4 * MB);
  expect(guest.lent).toBe(lent * 4 * MB);
  expect(appliance.device.stats.copiedFromGuest).toBe(0);
});

test("WebServer sends a file from where virtio-fs has put it: only the heads are copied", async () => {
  const site = makeFolder();
  const file = Buffer.from(pattern(3 * MB));
  writeFileSync(join(site, "file.bin"), file);
  const appliance = await boot({ app: "web-server", guestPort: 80, site });
  const client = appliance.connect();
  client.write("GET /file.bin HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  const answer = await readAll(client);
  expect(answer.subarray(-file.length).equals(file)).toBe(true);
  const guest = guestStats(appliance);
  const head = answer.length - file.length;
  expect(guest.sent).toBe(answer.length);
  expect(guest.lent).toBeGreaterThan(file.length - 65536); // the end may be a short send
  expect(guest.userToPacket).toBeLessThan(head + 65536);
  expect(guest.packetToRing).toBe(0);
  client.destroy();
});

test("echo sends back what it was lent; until its window has grown some is copied", async () => {
  const parameters = "vsock.rx_copybreak=0 vsock.tx_copybreak=0";
  const appliance = await boot({ app: "echo", guestPort: 7, parameters, receive: "in-place" });
  const client = appliance.connect();
  const sent = Buffer.from(pattern(5 * MB));
  const got = readAll(client);
  client.end(sent);
  expect((await got).equals(sent)).toBe(true);
  const guest = guestStats(appliance);
  expect(guest).toMatchObject({ received: sent.length, sent: sent.length, socketToUser: 0 });
  expect(guest.loaned + guest.ringToSocket).toBe(sent.length);
  expect(guest.ringToSocket).toBeLessThanOrEqual(SWITCH_BYTES);
  expect(guest.lent + guest.userToPacket).toBe(sent.length);
  expect(appliance.device.stats.copiedToGuest).toBe(0);
});
