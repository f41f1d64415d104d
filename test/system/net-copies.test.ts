// How often a byte of TCP is copied on its way into a guest: rx-zerocopy on the `user` network,
// with clients over sockets of Node, and what both sides have counted in the end.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import { NetDevice } from "../../host/devices/net.ts";
import { UserNetwork, type UserNetworkOptions } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { readGuestStats } from "../../host/stats.ts";
import { pattern } from "../support/socket-guest.ts";

const MB = 1_000_000;
const BYTES = 8 * MB;
/** Small parts of a stream, and its end, are copied in the guest. */
const SWITCH_BYTES = 2 * 65_536;
/** Of Ethernet, IPv4 and TCP. */
const HEADERS_BYTES = 66;

const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

interface Setup {
  readonly parameters: string;
  readonly receive: UserNetworkOptions["receive"];
}

/** Sends BYTES to rx-zerocopy, and returns what was counted when it has taken them. */
async function receive({ parameters, receive }: Setup) {
  const network = new UserNetwork({ receive });
  const card = new NetDevice({ network });
  const machine = await Machine.create({
    image: readFileSync("build/rx-zerocopy.wasm"),
    memoryBytes: 64 * 1024 * 1024,
    parameters: `net=inet net.address=10.0.2.15/24 net.gateway=10.0.2.2 mode=rx ${parameters}`,
    devices: [card],
    console: () => {},
  });
  machines.push(machine);
  machine.boot();
  await network.probe(1234);
  const { port } = (await network.publish({ port: 0, guestPort: 1234 })) as { port: number };
  const client = net.connect(port, "127.0.0.1");
  client.resume();
  client.end(pattern(BYTES));
  await once(client, "end");
  await machine.exited;
  const guest = readGuestStats(machine.memory);
  if (guest === null) throw new Error("the guest counts nothing");
  expect(guest.received).toBe(BYTES);
  return { guest, card: card.stats, network: network.stats };
}

/**
 * A byte that is read in place is not copied. Others come first, and after a pause of the process:
 * how many depends on how busy this computer is.
 */
function expectInPlace(counted: Counted): void {
  const { bytesInPlace, bytesCopiedOut } = counted.network;
  expect(onHost(counted)).toBeLessThanOrEqual(BYTES - bytesInPlace);
  expect(bytesCopiedOut).toBeLessThanOrEqual(BYTES - bytesInPlace);
  expect(bytesInPlace).toBeGreaterThan(BYTES / 2);
}

type Counted = Awaited<ReturnType<typeof receive>>;
const inGuest = ({ guest }: Counted) => guest.ringToSocket + guest.socketToUser;
const onHost = ({ card }: Counted) => card.copiedToGuest - card.framesToGuest * HEADERS_BYTES;

test.each([
  ["large", "net.rx_buffers=large"],
  ["large, payload on pages", "net.rx_buffers=large net.rx_header=78"],
])("NZ11: loans and in place: %s buffers, and no copy on either side", async (_, parameters) => {
  const counted = await receive({ parameters: `zerocopy=1 ${parameters}`, receive: "in-place" });
  expect(counted.guest.loaned).toBeGreaterThan(BYTES - SWITCH_BYTES);
  expect(inGuest(counted)).toBeLessThan(SWITCH_BYTES);
  expectInPlace(counted);
  expect([counted.network.ended.hole, counted.network.retransmitted]).toEqual([0, 0]);
});

test("NZ11: copies and in place: one copy, in the guest", async () => {
  const counted = await receive({ parameters: "", receive: "in-place" });
  expect(inGuest(counted)).toBeGreaterThanOrEqual(BYTES);
  expect(inGuest(counted)).toBeLessThan(BYTES + SWITCH_BYTES);
  expectInPlace(counted);
});

test("NZ11: loans and staging: one copy, on the host", async () => {
  const counted = await receive({ parameters: "zerocopy=1", receive: "staging" });
  expect(inGuest(counted)).toBeLessThan(SWITCH_BYTES);
  expect(onHost(counted)).toBeGreaterThan(BYTES - SWITCH_BYTES);
  expect(counted.network.bytesInPlace).toBe(0);
});

test("NZ11: copies and staging: two copies", async () => {
  const counted = await receive({ parameters: "", receive: "staging" });
  expect(inGuest(counted)).toBeGreaterThanOrEqual(BYTES);
  expect(onHost(counted)).toBeGreaterThan(BYTES - SWITCH_BYTES);
  expect(onHost(counted)).toBeLessThanOrEqual(BYTES);
});

test("NZ11: pages that a frame shares are copied together in the guest", async () => {
  const parameters = "zerocopy=1 net.rx_buffers=mergeable";
  const counted = await receive({ parameters, receive: "staging" });
  expect(onHost(counted)).toBeGreaterThan(BYTES - SWITCH_BYTES);
  expect(counted.card.buffersToGuest).toBeGreaterThan(BYTES / 4096);
});
