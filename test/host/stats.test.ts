// Numbers about copies: the guest's block as the host reads it, and what users are shown.
import { expect, test } from "vitest";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { NetStats } from "../../abi/stats.ts";
import { statsText } from "../../host/cli/stats.ts";
import { Ledger } from "../../host/devices/vsock/connection/ledger.ts";
import { countFrom, countRefusal } from "../../host/devices/vsock/stats.ts";
import { GuestMemory } from "../../host/memory.ts";
import { readGuestStats } from "../../host/stats.ts";

const BLOCK = 0x8000;

function memoryWith(counts: Partial<Record<keyof typeof OFFSETS, bigint>>): GuestMemory {
  const memory = new GuestMemory(1);
  memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.stats, BLOCK, true);
  for (const [name, value] of Object.entries(counts)) {
    memory.view.setBigUint64(BLOCK + OFFSETS[name as keyof typeof OFFSETS], value, true);
  }
  return memory;
}

const OFFSETS = {
  sent: NetStats.sent,
  received: NetStats.received,
  lent: NetStats.lent,
  loaned: NetStats.loaned,
  userToPacket: NetStats.userToPacket,
  packetToRing: NetStats.packetToRing,
  ringToSocket: NetStats.ringToSocket,
  socketToUser: NetStats.socketToUser,
};

test("reads every counter of the guest from its place, also beyond 32 bits", () => {
  const names = Object.keys(OFFSETS) as (keyof typeof OFFSETS)[];
  const counts = Object.fromEntries(names.map((name, i) => [name, 2n ** 40n + BigInt(i)]));
  const expected = Object.fromEntries(names.map((name, i) => [name, 2 ** 40 + i]));
  expect(readGuestStats(memoryWith(counts))).toEqual(expected);
});

test("S3: reports no statistics for a guest without a block, or with one outside its memory", () => {
  const memory = new GuestMemory(1);
  expect(readGuestStats(memory)).toBe(null);
  for (const address of [65536 - NetStats.sizeof + 1, 65536, 0xffffffff, 0x80000000]) {
    memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.stats, address, true);
    expect(readGuestStats(memory)).toBe(null);
  }
  memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.stats, 65536 - NetStats.sizeof, true);
  expect(readGuestStats(memory)).toMatchObject({ sent: 0 });
});

test("shows copies for each byte of their own direction", () => {
  const ledger = new Ledger();
  ledger.toGuest(1000, false);
  ledger.toGuest(3000, true);
  ledger.fromGuest(200);
  ledger.copy(1, new Uint8Array(1000), new Uint8Array(1000), 0);
  ledger.copy(0, new Uint8Array(50), new Uint8Array(100), 50);
  const guest = readGuestStats(
    memoryWith({ sent: 200n, received: 4000n, userToPacket: 100n, socketToUser: 4000n }),
  );
  expect(statsText(countFrom(ledger), guest, "pretty").split("\n")).toEqual([
    "                        bytes   host copies/byte  guest copies/byte",
    "to guest                 4000              0.250              1.000",
    "from guest                200              0.250              0.500",
    "",
  ]);
  expect(JSON.parse(statsText(countFrom(ledger), guest, "json")).stats).toEqual({
    toGuest: { bytes: 4000, hostCopies: 0.25, guestCopies: 1, bytesInPlace: 3000 },
    fromGuest: { bytes: 200, hostCopies: 0.25, guestCopies: 0.5 },
  });
});

test("adds a connection's counts to the device's", () => {
  const total = new Ledger();
  const [one, two] = [new Ledger(total), new Ledger(total)];
  one.toGuest(5, true);
  two.toGuest(7, false);
  two.copy(1, new Uint8Array(7), new Uint8Array(7), 0);
  one.fromGuest(3);
  expect(countFrom(total)).toMatchObject({
    bytesToGuest: 12,
    bytesInPlace: 5,
    bytesFromGuest: 3,
    copiedToGuest: 7,
    copiedFromGuest: 0,
    copied: [0, 7, 0, 0],
  });
  expect([one.copiedToGuest, two.copiedToGuest]).toEqual([0, 7]);
});

test("--stats names refused clients and the reason, if there were any", () => {
  const stats = countFrom(new Ledger());
  for (let i = 0; i < 3; i++) countRefusal(stats, "guest");
  countRefusal(stats, "descriptors");
  const lines = statsText(stats, null, "pretty").split("\n");
  expect(lines[3]).toBe("refused   3 by the guest, 1 for want of file descriptors");
  expect(JSON.parse(statsText(stats, null, "json")).stats.refused).toEqual({
    guest: 3,
    descriptors: 1,
  });
  expect(stats.refused).toBe(4);
});
