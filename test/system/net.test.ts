// Two machines on a switch: real kernels on real devices, and the application that asks for echoes.
import { readFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import type { Exit } from "../../host/exit.ts";
import { FrameCapture, Machine, ManualClock, NetDevice, NetSwitch } from "../../host/index.ts";
import { SnapshotError } from "../../host/snapshot/errors.ts";
import type { TraceEvent, TraceSink } from "../../host/trace/event.ts";
import { card, ipNumber, parse, whoHas } from "../support/frames.ts";
import { compileGuest } from "../support/guest.ts";
import { RINGS } from "../support/ring-kinds.ts";
import { tcpFrame } from "../support/tcp-frames.ts";

const image = await compileGuest("test/guest/internet.ts");
const machines: Machine[] = [];

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});

interface Station {
  readonly machine: Machine;
  readonly net: NetDevice;
  readonly frames: Uint8Array[];
}

/** Machines of one switch and one clock, which the test turns. */
class Lan {
  readonly clock = new ManualClock();
  readonly network = new NetSwitch();

  async boot(n: number, options: { mtu?: number; withheld?: bigint; trace?: TraceSink } = {}) {
    const frames: Uint8Array[] = [];
    const capture = new FrameCapture((bytes) => void frames.push(bytes.slice(16)), this.clock);
    const { mtu = 1500 } = options;
    const net = new NetDevice({ network: this.network, mac: card(n), mtu, capture });
    const machine = await Machine.create({
      image: image.module,
      sourceMap: image.map,
      memoryBytes: 32 * 1024 * 1024,
      clock: this.clock,
      devices: [net],
      withheldFeatures: options.withheld ?? 0n,
      entropy: (into) => into.fill(n),
      parameters: `net.address=10.0.0.${n}/24`,
      ...(options.trace === undefined ? {} : { trace: options.trace }),
    });
    machines.push(machine);
    machine.boot();
    this.settle();
    frames.length = 0;
    return { machine, net, frames } satisfies Station;
  }

  settle(): void {
    for (let rounds = 0; this.clock.settle() > 0; rounds++) {
      if (rounds > 10_000) throw new Error("the machines never come to rest");
    }
  }

  advance(ms: number): void {
    for (let i = 0; i < ms; i++) {
      this.clock.advance(1);
      this.settle();
    }
  }

  ping({ machine }: Station, n: number, bytes = 56): () => number | undefined {
    const at = Number(machine.call("startPing", ipNumber(`10.0.0.${n}`), bytes, 5000)) >>> 0;
    this.settle();
    const { view } = machine.memory;
    return () =>
      view.getUint32(at, true) === 0 ? undefined : Number(view.getBigInt64(at + 8, true));
  }
}

const faults = (...stations: Station[]) =>
  stations.reduce((sum, { machine, net }) => {
    const [one] = machine.registers;
    return sum + net.stats.rejected + (one?.illegalAccesses ?? 0) + (one?.brokenQueues ?? 0);
  }, 0);

describe.each(RINGS)("two machines with %s", (_, withheld) => {
  test.each([1500, 65520])("reach each other with MTU %i", async (mtu) => {
    const lan = new Lan();
    const [a, b] = [await lan.boot(1, { mtu, withheld }), await lan.boot(2, { mtu, withheld })];
    for (const bytes of [0, 1, 56, 1252, mtu - 28]) {
      expect(lan.ping(a, 2, bytes)(), `${bytes} bytes`).toBe(0);
      expect(lan.ping(b, 1, bytes)(), `${bytes} bytes`).toBe(0);
    }
    expect(lan.ping(a, 2, mtu - 27)()).toBe(-90);
    expect(a.net.stats.dropped).toEqual(b.net.stats.dropped);
    expect(faults(a, b)).toBe(0);
  });
});

describe("machines on a switch", () => {
  test("ask once for an address, and then talk to it alone", async () => {
    const lan = new Lan();
    const [a, b, c] = [await lan.boot(1), await lan.boot(2), await lan.boot(3)];
    for (const { frames } of [a, c]) frames.length = 0;
    for (let i = 0; i < 3; i++) expect(lan.ping(a, 2)()).toBe(0);
    const kinds = ({ frames }: Station) => frames.map((one) => parse(one).kind);
    expect(kinds(a)).toEqual(["arp", "arp", ...Array(6).fill("ip")]);
    expect(kinds(c)).toEqual(["arp"]);
    expect(faults(a, b, c)).toBe(0);
  });

  test("learn that nobody has an address", async () => {
    const lan = new Lan();
    const a = await lan.boot(1);
    const ping = lan.ping(a, 9);
    lan.advance(2999);
    expect(ping()).toBeUndefined();
    lan.advance(1);
    expect(ping()).toBe(-113);
  });

  test("NW5: lose each other when a cable is pulled, and find each other when it is back", async () => {
    const lan = new Lan();
    const [a, b] = [await lan.boot(1), await lan.boot(2)];
    b.net.hasLink = false;
    lan.settle();
    const lost = lan.ping(a, 2);
    lan.advance(3000);
    expect(lost()).toBe(-113);
    b.net.hasLink = true;
    lan.settle();
    expect(lan.ping(a, 2)()).toBe(0);
    expect(lan.ping(b, 1)()).toBe(0);
  });

  test("do not notice one that is disposed of, and greet one that takes its place", async () => {
    const lan = new Lan();
    const [a, b, c] = [await lan.boot(1), await lan.boot(2), await lan.boot(3)];
    expect(lan.ping(a, 2)()).toBe(0);
    b.machine.dispose();
    expect(lan.ping(a, 3)()).toBe(0);
    const again = await lan.boot(2);
    expect(lan.ping(again, 1)()).toBe(0);
    expect(lan.ping(a, 2)()).toBe(0);
    expect(faults(a, c, again)).toBe(0);
  });

  test("NB4: two that answer each other do not keep the clock's timers from firing", async () => {
    const lan = new Lan();
    const [a, b] = [await lan.boot(1), await lan.boot(2)];
    let fired = 0;
    lan.clock.after(1, () => void fired++);
    const pings = Array.from({ length: 8 }, () => [lan.ping(a, 2), lan.ping(b, 1)]).flat();
    lan.advance(1);
    expect([pings.map((result) => result()), fired]).toEqual([Array(16).fill(0), 1]);
  });

  test("an idle machine has no timer", async () => {
    const lan = new Lan();
    const [a, b] = [await lan.boot(1), await lan.boot(2)];
    for (let i = 0; i < 5; i++) lan.ping(a, 2);
    lan.advance(10);
    const { interrupts, kicks } = structuredClone(a.machine.registers[0]?.counts) ?? {};
    lan.clock.advance(3_600_000);
    lan.settle();
    expect(a.machine.registers[0]?.counts).toEqual({ interrupts, kicks });
    expect([a, b].map(({ machine }) => machine.call("isTimerRunning"))).toEqual([0, 0]);
  });

  test("NB10: hear the same frames in the same order, run by run", async () => {
    const run = async () => {
      const lan = new Lan();
      const all = [await lan.boot(1), await lan.boot(2), await lan.boot(3)];
      for (const from of all) for (const n of [1, 2, 3, 9]) lan.ping(from, n, 100);
      lan.advance(5000);
      return all.map(({ frames }) => frames.map((one) => Buffer.from(one).toString("hex")));
    };
    expect(await run()).toEqual(await run());
  });

  test("a trace shows the frames of a device, by name and in their order", async () => {
    const lan = new Lan();
    const events: TraceEvent[] = [];
    const a = await lan.boot(1, { trace: (event) => void events.push({ ...event }) });
    await lan.boot(2);
    events.length = 0;
    expect(lan.ping(a, 2, 56)()).toBe(0);
    const frames = events.filter(({ name }) => name.endsWith("guest") && name !== "to guest");
    expect(frames.map(({ name, args }) => [name, args?.bytes])).toEqual([
      ["ARP request from guest", 42],
      ["ARP reply to guest", 42],
      ["ICMP from guest", 98],
      ["ICMP to guest", 98],
    ]);
  });

  test("a ring shows its frames by name", async () => {
    const lan = new Lan();
    const { net } = await lan.boot(1);
    const head = (frame: Uint8Array) =>
      new DataView(Uint8Array.from([...Array(12).fill(0), ...frame]).buffer);
    expect(net.describe(1, head(whoHas("10.0.0.1", "10.0.0.2", card(2))))).toBe("ARP request");
    expect(net.describe(1, head(tcpFrame()))).toBe("TCP ACK 40000 -> 80");
    expect(net.describe(1, head(new Uint8Array(14)))).toBe("EtherType 0x0000");
    expect(net.describe(1, head(new Uint8Array(3)))).toBe("");
    expect(net.describe(0, head(new Uint8Array(14)))).toBe("");
  });
});

/** A machine with the application Ping. */
async function pinging(
  network: NetSwitch,
  n: number,
  parameters: string,
  clock?: ManualClock,
  own: { pairs?: number } = {},
) {
  const lines: string[] = [];
  const options = {
    image: readFileSync("build/ping.wasm"),
    devices: [new NetDevice({ network, mac: card(n), ...own })],
    console: (line: string) => void lines.push(line),
    ...(clock === undefined ? {} : { clock }),
  };
  const memoryBytes = 16 * 1024 * 1024;
  const all = { ...options, memoryBytes, parameters: `net.address=10.0.0.${n}/24 ${parameters}` };
  const machine = await Machine.create(all);
  machines.push(machine);
  machine.boot();
  return { machine, lines, options };
}

describe("a snapshot of a machine with a card", () => {
  test("goes on with its address and its neighbours", async () => {
    const lan = new Lan();
    await lan.boot(2);
    const before = await pinging(lan.network, 1, "to=10.0.0.2 count=9", lan.clock);
    lan.settle();
    const snapshot = await before.machine.snapshot();
    before.machine.dispose();
    const lines: string[] = [];
    const devices = [new NetDevice({ network: lan.network, mac: card(1) })];
    const console = (line: string) => void lines.push(line);
    machines.push(await Machine.restore(snapshot, { ...before.options, devices, console }));
    lan.advance(3500);
    expect(lines.join("").match(/10\.0\.0\.2 answers after 0 us\n/g)).toHaveLength(3);
  });

  test("NW32: announces itself, to whoever is on its network now", async () => {
    const lan = new Lan();
    const other = await lan.boot(2);
    const before = await pinging(lan.network, 1, "to=10.0.0.9 count=9", lan.clock);
    lan.settle();
    const snapshot = await before.machine.snapshot();
    before.machine.dispose();
    other.frames.length = 0;
    const net = new NetDevice({ network: lan.network, mac: card(1) });
    machines.push(await Machine.restore(snapshot, { ...before.options, devices: [net] }));
    lan.settle();
    const arps = other.frames.map((bytes) => parse(bytes));
    const announcement = { from: card(1), sender: "10.0.0.1", target: "10.0.0.1" };
    expect(arps.filter((one) => one.kind === "arp" && one.sender === one.target)).toMatchObject([
      announcement,
    ]);
    const status = new DataView(net.config.buffer).getUint16(6, true);
    expect([status, net.stats.commandsRefused]).toEqual([1, 0]); // acknowledged
  });

  test("is refused by a device that offers less, or has fewer queues", async () => {
    const lan = new Lan();
    const parameters = "to=10.0.0.2 net.pairs=2";
    const { machine, options } = await pinging(lan.network, 1, parameters, lan.clock, { pairs: 4 });
    lan.settle();
    const snapshot = await machine.snapshot();
    for (const other of [{}, { pairs: 2 }, { pairs: 4, offloads: false }, { pairs: 5 }]) {
      const devices = [new NetDevice({ network: new NetSwitch(), mac: card(1), ...other })];
      const restored = Machine.restore(snapshot, { ...options, devices });
      await expect(restored, JSON.stringify(other)).rejects.toThrow(SnapshotError);
    }
    const network = new NetSwitch();
    const net = new NetDevice({ network, mac: card(1), pairs: 4 });
    machines.push(await Machine.restore(snapshot, { ...options, devices: [net] }));
    expect(net.pairs).toBe(2);
  });

  test("is refused by a device with another MAC or MTU", async () => {
    const lan = new Lan();
    const { machine, options } = await pinging(lan.network, 1, "to=10.0.0.2", lan.clock);
    lan.settle();
    const snapshot = await machine.snapshot();
    for (const other of [{ mac: card(7) }, { mac: card(1), mtu: 9000 }]) {
      const devices = [new NetDevice({ network: new NetSwitch(), ...other })];
      const restored = Machine.restore(snapshot, { ...options, devices });
      await expect(restored).rejects.toThrow(SnapshotError);
    }
  });

  test("hears of a link that has changed meanwhile", async () => {
    const lan = new Lan();
    await lan.boot(2);
    const { machine, options } = await pinging(lan.network, 1, "to=10.0.0.2 count=9", lan.clock);
    lan.settle();
    const snapshot = await machine.snapshot();
    machine.dispose();
    const lines: string[] = [];
    const net = new NetDevice({ network: lan.network, mac: card(1) });
    net.hasLink = false;
    const console = (line: string) => void lines.push(line);
    machines.push(await Machine.restore(snapshot, { ...options, devices: [net], console }));
    lan.advance(2500);
    expect(lines.join("")).toMatch(/fails with error 110\n/);
    expect(net.stats.dropped.noLink).toBe(0); // the guest knows, and sends nothing
  });
});

test("the application Ping asks another machine, and powers off with 0", async () => {
  const network = new NetSwitch();
  const b = await pinging(network, 2, "to=10.0.0.9 count=1");
  const a = await pinging(network, 1, "to=10.0.0.2 count=1");
  const [ofA, ofB]: Exit[] = await Promise.all([a.machine.exited, b.machine.exited]);
  expect([ofA, ofB]).toMatchObject([{ code: 0 }, { code: 1 }]);
  expect(a.lines.join("")).toMatch(/Ping: 10\.0\.0\.2 answers after \d+ us/);
  expect(b.lines.join("")).toMatch(/Ping: 10\.0\.0\.9 fails with error 1\d\d/);
});
