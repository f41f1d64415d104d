// Two guests on one switch, whose drivers have different receive buffers and offloads: every frame
// arrives whole, or in segments with complete checksums.
import { afterEach, expect, test } from "vitest";
import { NetSwitch } from "../../host/devices/net/switch.ts";
import { NetDevice, type NetOptions } from "../../host/devices/net.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { card, digests, noise } from "../support/frames.ts";
import { collectHits, compileGuest } from "../support/guest.ts";
import { parseTcp, tcpFrame } from "../support/tcp-frames.ts";

const image = await compileGuest("test/guest/card.ts");
const machines: Machine[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) {
    collectHits(image, machine);
    machine.dispose();
  }
});

const MODES = ["small", "page", "large", "paged", "mixed", "mergeable"].flatMap((buffers) =>
  ["split", "inline", "78"].map((header) => `net.rx_buffers=${buffers} net.rx_header=${header}`),
);

async function boot(
  network: NetSwitch,
  clock: ManualClock,
  n: number,
  parameters: string,
  options: Partial<NetOptions> = {},
) {
  const device = new NetDevice({ network, mac: card(n), ...options });
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 32 * 1024 * 1024,
    parameters: `net.address=10.0.0.${n}/24 ${parameters}`,
    clock,
    devices: [device],
    entropy: (into) => into.fill(7),
  });
  machines.push(machine);
  machine.boot();
  while (clock.settle() > 0);
  const call = (name: string, ...args: number[]) => {
    const result = Number(machine.call(name, ...args) ?? 0);
    while (clock.settle() > 0);
    return result >>> 0;
  };
  const at = call("watch", 0);
  const { view, u8 } = machine.memory;
  /** The last frame that arrived, and how many there were. */
  const last = () => {
    const start = view.getUint32(at + 20, true);
    return Buffer.from(u8.slice(start, start + view.getUint32(at + 4, true)));
  };
  const count = () => view.getUint32(at, true);
  return { device, machine, call, last, count };
}

type Guest = Awaited<ReturnType<typeof boot>>;

function send(guest: Guest, frame: Uint8Array, segmentBytes: number, parts = 0): void {
  const at = guest.call("ToroGetMem", frame.length);
  guest.machine.memory.u8.set(frame, at);
  guest.call("sendWork", at, frame.length, 34, 16, 54, segmentBytes, parts, 1);
}

test.each(MODES)("%s: frames of all sizes arrive whole", async (mode) => {
  const [network, clock] = [new NetSwitch(), new ManualClock()];
  const left = await boot(network, clock, 1, "");
  const right = await boot(network, clock, 2, mode);
  const sizes = [0, 100, 1448, 1460];
  for (const bytes of [...sizes, ...sizes]) {
    const payload = noise(bytes, bytes);
    send(left, tcpFrame({ payload, isPartial: true }), 0);
    // A partial checksum stays one: this guest takes it.
    expect(digests([right.last()])).toEqual(digests([tcpFrame({ payload, isPartial: true })]));
  }
  expect([right.count(), right.call("cardCounter", 0)]).toEqual([2 * sizes.length, 0]);
});

test.each(MODES)("%s: a long segment arrives whole, or cut by the switch", async (mode) => {
  const [network, clock] = [new NetSwitch(), new ManualClock()];
  const left = await boot(network, clock, 1, "");
  const right = await boot(network, clock, 2, mode);
  const isLong = !/small|page /.test(mode);
  for (const [bytes, parts] of [
    [60_000, 0],
    [65_495, 3],
  ] as const) {
    const long = tcpFrame({ payload: noise(bytes), isPartial: true });
    const before = right.count();
    send(left, long, 1460, parts);
    const arrived = right.count() - before;
    expect(arrived).toBe(isLong ? 1 : Math.ceil(bytes / 1460));
    if (isLong) expect(digests([right.last()])).toEqual(digests([long]));
    else expect(parseTcp(right.last()).isGood).toBe(true);
  }
  expect(right.device.stats.completed).toBe(isLong ? 0 : 2);
  expect([right.call("cardCounter", 0), left.machine.registers[0]?.illegalAccesses]).toEqual([
    0, 0,
  ]);
});

test("a guest without offloads gets complete frames, and sends them", async () => {
  const [network, clock] = [new NetSwitch(), new ManualClock()];
  const left = await boot(network, clock, 1, "");
  const right = await boot(network, clock, 2, "", { offloads: false, mergeable: false });
  expect([right.call("sendsChecksums"), right.call("segmentsBytesMax")]).toEqual([0, 0]);
  send(left, tcpFrame({ payload: noise(5000), isPartial: true }), 1460);
  expect([right.count(), parseTcp(right.last()).isGood]).toEqual([4, true]);
});
