// The virtio-net driver does what the specification says (NW), with every combination of ring
// features.
import { describe, expect, test } from "vitest";
import { ETH_P_ARP, EthernetHdr } from "../../../abi/ethernet.ts";
import { NetHdr } from "../../../abi/net.ts";
import { Mmio } from "../../../abi/virtio.ts";
import { arp, card, echo, ipFrame, whoHas } from "../../support/frames.ts";
import {
  ALL_FEATURES,
  type NetGuestOptions,
  netGuests,
  rxHeader,
} from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";

const make = await netGuests();
const [MTU, MAC, STATUS] = [1n << 3n, 1n << 5n, 1n << 16n];
const question = whoHas("10.0.0.1", "10.0.0.2", card(2));

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: NetGuestOptions = {}) => make({ withheld, ...options });

  test("NW1: accepts the features that it knows, and no others", async () => {
    const g = await boot({ features: 0xff_ffffn });
    const control = (1n << 17n) | (1n << 21n); // GUEST_ANNOUNCE needs the queue
    expect(g.device.accepted & 0xff_ffffn).toBe(ALL_FEATURES | control);
    const bare = await boot({ features: 0n });
    expect(bare.device.accepted & 0xff_ffffn).toBe(0n);
    bare.inject(question);
    expect(bare.sentArp().at(-1)).toMatchObject({ op: 2, to: card(2) });
  });

  test("NW4: uses the device's MAC, or makes a locally administered one", async () => {
    const g = await boot({ config: { mac: "06:11:22:33:44:55" } });
    expect(g.sent()[0]?.from).toBe("06:11:22:33:44:55");
    const bare = await boot({ features: MTU | STATUS, config: { mac: "06:11:22:33:44:55" } });
    const own = bare.sent()[0]?.from ?? "";
    expect(own).not.toBe("06:11:22:33:44:55");
    expect(Number.parseInt(own.slice(0, 2), 16) & 3).toBe(2);
  });

  test("NW5: follows the link; without the feature it is up", async () => {
    const down = await boot({ config: { status: 0 } });
    expect(down.sent()).toEqual([]);
    down.device.setStatus(1);
    down.settle();
    expect(down.sentArp()).toMatchObject([{ op: 1, sender: "10.0.0.1", target: "10.0.0.1" }]);
    down.device.setStatus(0xfffe);
    down.settle();
    down.inject(question);
    expect(down.sent()).toEqual([]);
    const bare = await boot({ features: MAC, config: { status: 0 } });
    expect(bare.sentArp()).toHaveLength(1);
  });

  test.each([1280, 1500, 9000, 65520])(
    "NW6, NW17: with MTU %i posts buffers that hold a whole frame, and sends no longer one",
    async (mtu) => {
      const g = await boot({ config: { mtu }, memoryBytes: 64 * 1024 * 1024 });
      const chain = g.device.buffer();
      const bytes = Math.max(mtu, 1500) + EthernetHdr.sizeof + NetHdr.sizeof;
      expect(chain.writableBytes).toBeGreaterThanOrEqual(bytes);
      chain.release(0);
      const ping = g.ping("10.0.0.2", mtu - 28);
      g.inject(arp({ op: 2, senderMac: card(2), sender: "10.0.0.2", target: "10.0.0.1" }));
      const [sent] = g.sentIp();
      expect(sent?.bytes).toHaveLength(mtu + EthernetHdr.sizeof);
      expect(ping.result()).toBeUndefined();
      expect(g.ping("10.0.0.2", mtu - 27).result()).toBe(-90);
      expect(g.sent()).toEqual([]);
    },
  );

  test("NW6: without the feature it reads no MTU, and has 1500", async () => {
    const g = await boot({ features: MAC, config: { mtu: 60 } });
    expect(g.ping("10.0.0.2", 1500 - 27).result()).toBe(-90);
    expect(g.ping("10.0.0.2", 1500 - 28).result()).toBeUndefined();
  });

  test("NW7: writes no configuration, and reads only what its features make valid", async () => {
    const accesses: string[] = [];
    const g = await boot({ features: MTU });
    const registers = g.machine.registers[0] as (typeof g.machine.registers)[number];
    const read = registers.read.bind(registers);
    const write = registers.write.bind(registers);
    registers.read = (offset, bytes) => {
      if (offset >= Mmio.Config) accesses.push(`read ${offset - Mmio.Config}`);
      return read(offset, bytes);
    };
    registers.write = (offset, bytes, value) => {
      if (offset >= Mmio.Config) accesses.push(`write ${offset - Mmio.Config}`);
      write(offset, bytes, value);
    };
    g.device.setStatus(0); // without the feature
    g.settle();
    g.inject(question);
    expect(accesses).toEqual([]);
    expect(g.faults()).toBe(0);
  });

  test("NW8, NW10, NW11, NW13: sends 12 bytes of zeros in front of a frame, and nothing to write to", async () => {
    const g = await boot();
    g.inject(question);
    expect(g.device.sent.length).toBeGreaterThan(1);
    for (const { header, frame: sent, writableBytes } of g.device.sent) {
      expect([...header]).toEqual(Array(12).fill(0));
      expect(sent.readUInt16BE(EthernetHdr.h_proto)).toBe(ETH_P_ARP);
      expect(sent).toHaveLength(42);
      expect(writableBytes).toBe(0);
    }
  });

  test("NW17: keeps its ring full, however much has come", async () => {
    const g = await boot();
    const posted = () => g.device.queue(0).available;
    const full = posted();
    expect(full).toBeGreaterThan(32);
    for (let round = 0; round < 5; round++) {
      g.inject(...Array.from({ length: full }, () => question));
      expect(posted()).toBe(full);
    }
    expect(g.sentArp()).toHaveLength(5 * full + 1);
  });

  test("NW24: ignores bits that mean nothing, hints, and checksum fields without the flag", async () => {
    const g = await boot();
    g.sent();
    const odd: Record<number, number>[] = [
      { [NetHdr.flags]: 0xfe },
      { [NetHdr.hdr_len]: 0xff, [NetHdr.hdr_len + 1]: 0xff },
      { [NetHdr.csum_start]: 0xff, [NetHdr.csum_offset]: 0xff, [NetHdr.gso_size]: 0xff },
    ];
    for (const fields of odd) g.device.raw(rxHeader(fields), question);
    g.device.signal();
    g.settle();
    expect(g.sentArp()).toHaveLength(3);
  });

  test("NW24: checks checksums itself, also of what the device says is valid", async () => {
    const g = await boot();
    g.inject(question);
    g.sent();
    const packet = { to: card(1), from: card(2), source: "10.0.0.2", destination: "10.0.0.1" };
    const bad = echo({});
    bad[2] = (bad[2] ?? 0) ^ 1;
    for (const flags of [0, 2]) {
      g.device.raw(rxHeader({ [NetHdr.flags]: flags }), ipFrame({ ...packet, payload: bad }));
    }
    g.device.signal();
    g.settle();
    expect([g.sent(), g.stats().badIcmp]).toEqual([[], 2]);
  });

  test("NW35: finds buffers by their tokens, in whatever order the device uses them", async () => {
    const g = await boot();
    g.sent();
    const chains = Array.from({ length: 8 }, () => g.device.buffer());
    const order = [5, 0, 7, 2, 6, 1, 4, 3];
    for (const i of order) {
      const chain = chains[i] as (typeof chains)[number];
      const bytes = whoHas("10.0.0.1", `10.0.0.${20 + i}`, card(20 + i));
      chain.copyTo(0, Buffer.concat([rxHeader(), bytes]));
      chain.release(NetHdr.sizeof + bytes.length);
    }
    g.device.signal();
    g.settle();
    expect(g.sentArp().map(({ to }) => to)).toEqual(order.map((i) => card(20 + i)));
  });

  test("NW36: wants no interrupt for sent frames, and frees them at the next send", async () => {
    const g = await boot();
    const { counts } = g.machine.registers[0] as (typeof g.machine.registers)[number];
    g.inject(question);
    const before = counts.interrupts;
    const inUse = g.call("inUse");
    for (let i = 0; i < 50; i++) g.inject(question);
    expect(counts.interrupts - before).toBe(50); // of the receive queue alone
    expect(g.call("inUse") - inUse).toBeLessThan(1000);
  });

  test("waits for room in a full ring, and goes on when frames have been consumed", async () => {
    const g = await boot({ queueSize: 16 });
    g.sent();
    g.device.consuming = false;
    for (let i = 0; i < 40; i++) g.inject(question);
    expect(g.sent()).toEqual([]);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    g.settle();
    expect(g.sentArp()).toHaveLength(40);
    expect(g.faults()).toBe(0);
  });

  test("gives frames up that find neither a ring nor a queue with room", async () => {
    const g = await boot({ queueSize: 16 });
    g.device.consuming = false;
    const before = g.call("inUse");
    for (let i = 0; i < 500; i++) g.inject(question);
    expect(g.call("inUse") - before).toBeLessThan(100 * 1024);
    g.device.consuming = true;
    g.device.consume();
    g.device.signal();
    g.settle();
    expect(g.sentArp().length).toBeLessThan(100);
    g.inject(question);
    expect(g.sentArp()).toHaveLength(1);
  });

  test("sends and receives with rings of two entries", async () => {
    const g = await boot({ queueSize: 2 });
    g.sent();
    for (let i = 0; i < 10; i++) g.inject(question);
    expect(g.sentArp()).toHaveLength(10);
  });
});
