// A machine under inspection: what is shown is what the machine itself reports, and a machine that
// is stopped does nothing.
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Inspector } from "../../host/inspect/inspector.ts";
import { PausableClock } from "../../host/pausable-clock.ts";
import { readGuestLoad } from "../../host/stats.ts";
import { MACHINE, THREADS, type TraceEvent, VCPU } from "../../host/trace/event.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { SetClock } from "../support/set-clock.ts";
import { Site } from "../support/snapshot-site.ts";
import { Client } from "../support/web-server-script.ts";

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  writeFileSync(`${directory}/index.html`, "home");
  writeFileSync(`${directory}/large.bin`, "x".repeat(1 << 20));
});
afterAll(removeFolders);

async function inspected() {
  const manual = new SetClock();
  const clock = new PausableClock(manual);
  const site = await Site.boot(directory, { manual, clock });
  const inspector = new Inspector({ machine: site.machine, clock });
  return { manual, clock, site, inspector };
}

const runs = (events: readonly TraceEvent[]) =>
  events.filter(({ pid, ph, cat }) => pid === THREADS && ph === "X" && cat !== "wait");
const entries = (events: readonly TraceEvent[]) =>
  events.filter(({ pid, tid }) => pid === MACHINE && tid === VCPU);

describe("IN2: the view says what the machine says", () => {
  test("of devices, rings and counters", async () => {
    const { site, inspector } = await inspected();
    site.get("/");
    const { devices, nowNs, state, switches, heap } = inspector.view();
    expect(state).toBe("running");
    expect(nowNs).toBe(site.clock.now());
    expect(devices.map(({ name }) => name)).toEqual(["vsock", "fs site"]);
    site.machine.registers.forEach((registers, i) => {
      const device = devices[i];
      const { queues } = registers.state();
      expect(device?.interrupts).toBe(registers.counts.interrupts);
      expect(device?.status).toEqual(["ACKNOWLEDGE", "DRIVER", "FEATURES_OK", "DRIVER_OK"]);
      expect(device?.features).toContain("EVENT_IDX");
      queues.forEach((queue, n) => {
        const shown = device?.queues[n];
        expect(shown?.size).toBe(queue.size);
        expect(shown?.kicks).toBe(registers.counts.kicks[n] ?? 0);
        expect(shown?.ring?.takenIdx).toBe(queue.ring?.lastAvail);
        expect(shown?.ring?.usedIdx).toBe(queue.ring?.usedIdx);
        expect(shown?.ring?.heldCount).toBe(queue.ring?.held.length);
      });
    });
    const load = readGuestLoad(site.machine.memory);
    expect(switches).toBe(load.heartbeat);
    expect(heap).toMatchObject({ bytes: load.heapBytes, inUse: load.heapInUse });
    expect(load.allocations).toBeGreaterThan(site.count("heapBlocks"));
    site.machine.dispose();
  });

  test("of threads: all that there are, and what they wait for", async () => {
    const { site, inspector } = await inspected();
    site.connect();
    const { threads } = inspector.view();
    expect(threads?.total).toBe(site.count("unfinished"));
    expect(threads?.total).toBe(threads?.listed.length);
    const waits = threads?.listed.map(({ name, state, waitsFor }) => [
      name.split("/").at(-1),
      state,
      waitsFor.replace(/\d{6,}/, "N"),
    ]);
    expect(waits).toContainEqual(["runApplication", "waiting", "socket 80 to accept"]);
    expect(waits).toContainEqual(["serveConnection", "waiting", "socket 80 <- N to read"]);
    for (const { savedBytes, saveBytes } of threads?.listed ?? []) {
      expect(savedBytes).toBeGreaterThan(0);
      expect(savedBytes).toBeLessThanOrEqual(saveBytes);
    }
    site.machine.dispose();
  });

  test("of sockets: those of the device, with credit both ways", async () => {
    const { site, inspector } = await inspected();
    const client = site.connect();
    client.get("/");
    const { sockets, connections, copies } = inspector.view();
    const [host] = connections.listed;
    expect(connections.total).toBe(site.vsock.stats.connections);
    expect(sockets?.total).toBe(2); // and the listener
    const guest = sockets?.listed.find(({ state }) => state === "connected");
    expect([guest?.localPort, guest?.remotePort]).toEqual([host?.guestPort, host?.hostPort]);
    expect(guest?.received.bytes).toBe(host?.bytesToGuest);
    expect(guest?.sent.bytes).toBe(host?.bytesFromGuest);
    expect(guest?.sent.window).toBeGreaterThan(0);
    const listener = sockets?.listed.find(({ state }) => state === "listening");
    expect([listener?.localPort, listener?.remotePort]).toEqual([80, 0]);
    expect(copies?.fromGuest.bytes).toBe(site.vsock.stats.bytesFromGuest);
    site.machine.dispose();
  });

  test("of a slow client: its chains are the device's, and are named", async () => {
    const { site, inspector } = await inspected();
    const client = site.connect(new Client(true));
    client.get("/large.bin");
    const tx = inspector.view().devices[0]?.queues[1]?.ring;
    expect(tx?.heldCount).toBeGreaterThan(0);
    expect(tx?.cells).toContain("h");
    expect(tx?.held[0]?.what).toMatch(/^RW 80 -> \d+, \d+ bytes$/);
    expect(tx?.held[0]?.buffers.every(({ isWritten }) => !isWritten)).toBe(true);
    const rx = inspector.view().devices[0]?.queues[0]?.ring;
    expect(rx?.cells).toContain("a"); // posted receive buffers
    site.machine.dispose();
  });

  test("of the heap: its blocks fill it, and those in use are as many bytes as it says", async () => {
    const { site } = await inspected();
    const { insight } = site.machine;
    const map = insight.heapMap();
    const used = map?.blocks.filter((bytes) => bytes > 0) ?? [];
    expect(map?.isCut).toBe(false);
    expect(used).toHaveLength(site.count("heapBlocks"));
    expect(used.reduce((sum, bytes) => sum + bytes, 0)).toBe(insight.heap()?.inUse);
    site.machine.dispose();
  });

  test("of a machine that has ended: that", async () => {
    const { site, inspector } = await inspected();
    site.machine.dispose();
    expect(inspector.view().state).toBe("ended");
    expect(inspector.pause()).toBe(false);
  });
});

describe("IN1: while nobody watches", () => {
  test("no events are made, and the guest records nothing", async () => {
    const { site, inspector } = await inspected();
    site.get("/");
    expect(inspector.recent()).toEqual([]);
    expect(site.machine.inside.tracing.isOn).toBe(false);
    const end = inspector.watch(() => {});
    site.get("/");
    expect(runs(inspector.recent()).length).toBeGreaterThan(0);
    end();
    expect(inspector.recent()).toEqual([]);
    expect(site.machine.inside.tracing.isOn).toBe(false);
    site.machine.dispose();
  });
});

describe("IN4: a machine that is paused", () => {
  test("has no entry, no timer and no deadline; a minute later its requests are answered", async () => {
    const { manual, site, inspector } = await inspected();
    const events: TraceEvent[] = [];
    inspector.watch((event) => void events.push(event));
    const before = site.connect();
    expect(inspector.pause()).toBe(true);
    const view = inspector.view();
    events.length = 0;
    before.get("/");
    const later = site.connect();
    later.get("/large.bin");
    manual.advance(60_000);
    site.settle();
    expect(entries(events)).toEqual([]);
    expect(inspector.view()).toMatchObject({ state: "paused", nowNs: view.nowNs });
    expect(inspector.view().threads).toEqual(view.threads);
    expect(before.received).toBe("");
    inspector.resume();
    site.settle();
    expect(before.received).toContain("home");
    expect(later.received.length).toBeGreaterThan(1 << 20);
    expect(site.faults()).toBe(0);
    site.machine.dispose();
  });
});

describe("IN5: a step", () => {
  test("by threads runs one thread at most, and in the end the request is answered", async () => {
    const { site, inspector } = await inspected();
    const events: TraceEvent[] = [];
    inspector.watch((event) => void events.push(event));
    const clients = [site.connect(), site.connect(), site.connect()];
    inspector.pause();
    for (const client of clients) client.get("/");
    let steps = 0;
    for (; clients.some(({ received }) => received === "") && steps < 100; steps++) {
      events.length = 0;
      expect(inspector.step("thread")).toBe(true);
      expect(runs(events).length).toBeLessThanOrEqual(1);
    }
    for (const { received } of clients) expect(received).toContain("home");
    expect(steps).toBeGreaterThanOrEqual(clients.length);
    inspector.resume();
    site.machine.dispose();
  });

  test("by turns runs all that is ready", async () => {
    const { site, inspector } = await inspected();
    const client = site.connect();
    inspector.pause();
    client.get("/");
    expect(inspector.step("turn")).toBe(true);
    expect(client.received).toContain("home");
    inspector.resume();
    expect(inspector.step("turn")).toBe(false);
    site.machine.dispose();
  });
});

describe("a breakpoint", () => {
  const stopped = async (breakpoint: Parameters<Inspector["breakAt"]>[0][number], path = "/") => {
    const { site, inspector } = await inspected();
    inspector.breakAt([breakpoint]);
    site.get(path);
    const { state, stoppedAt } = inspector.view();
    site.machine.dispose();
    return [state, stoppedAt?.name];
  };

  test("stops at none after it was released, and does not pause", async () => {
    const { site, inspector } = await inspected();
    inspector.pause();
    inspector.breakAt([{ on: "packet" }]);
    inspector.release();
    expect(site.get("/")).toContain("home");
    expect([inspector.pause(), inspector.view().state]).toEqual([false, "running"]);
    site.machine.dispose();
  });

  test("stops at a packet, a request, a thread, a kick, an error", async () => {
    expect(await stopped({ on: "packet", op: "RW", port: 80 })).toEqual(["paused", "RW to guest"]);
    expect(await stopped({ on: "packet", port: 81 })).toEqual(["running", undefined]);
    expect(await stopped({ on: "file", op: "OPEN" })).toEqual(["paused", "OPEN"]);
    expect(await stopped({ on: "thread", name: "serveConnection" })).toEqual([
      "paused",
      "apps/web-server/connection/serveConnection",
    ]);
    const [, run] = await stopped({ on: "thread" });
    expect(run).toMatch(/^(apps|torito)\//); // and not a counter of threads
    expect(await stopped({ on: "kick", queue: "tx" })).toEqual(["paused", "kick"]);
    expect(await stopped({ on: "error" }, "/none")).toEqual(["paused", "LOOKUP"]);
  });
});
