// IN2: a machine with a card: its sockets, what its threads wait for, its rings, and its trace.
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { topLines } from "../../host/cli/top.ts";
import { Inspector } from "../../host/inspect/inspector.ts";
import { THREADS, type TraceEvent } from "../../host/trace/event.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { perfettoFaults } from "../support/perfetto.ts";
import { Site } from "../support/snapshot-site.ts";
import { TickingClock } from "../support/trace.ts";
import { Client } from "../support/web-server-script.ts";

const BYTES = 1 << 20;

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  writeFileSync(`${directory}/index.html`, "home");
  writeFileSync(`${directory}/large.bin`, "x".repeat(BYTES));
});
afterAll(removeFolders);

async function inspected() {
  const site = await Site.boot(directory, { hasCard: true });
  return { site, inspector: new Inspector({ machine: site.machine, clock: null }) };
}

describe("IN2: the view of TCP says what guest and network say", () => {
  test("of sockets: protocol, state by name, dotted address, what is in flight", async () => {
    const { site, inspector } = await inspected();
    const client = site.connect();
    client.get("/");
    const { sockets, netConnections, connections } = inspector.view();
    const [net] = netConnections.listed;
    expect([netConnections.total, connections.total, sockets?.total]).toEqual([1, 0, 2]);
    const listener = sockets?.listed.find(({ state }) => state === "listening");
    expect(listener).toMatchObject({ protocol: "tcp", localPort: 80, peer: "" });
    expect(listener?.tcp).toMatchObject({ state: "LISTEN", halfOpen: 0 });
    const socket = sockets?.listed.find(({ state }) => state === "connected");
    expect(socket).toMatchObject({ protocol: "tcp", peer: net?.peer, localPort: net?.guestPort });
    expect(socket?.peer).toMatch(/^10\.0\.2\.2:\d{5}$/);
    expect(socket?.received.bytes).toBe(net?.bytesToGuest);
    expect(socket?.sent.bytes).toBe(net?.bytesFromGuest);
    expect(socket?.tcp).toMatchObject({ state: "ESTABLISHED", inFlight: 0, retransmits: 0 });
    expect(socket?.tcp?.congestionWindow).toBeGreaterThan(0);
    expect(net).toMatchObject({ isInbound: true, peerPort: socket?.remotePort });
    site.machine.dispose();
  });

  test("of a client that does not read: the send queue fills, up to its bound", async () => {
    const { site, inspector } = await inspected();
    site.connect(new Client(true)).get("/large.bin");
    const { sockets, threads } = inspector.view();
    const socket = sockets?.listed.find(({ state }) => state === "connected");
    const { inFlight = 0, window = 0 } = socket?.sent ?? {};
    expect(inFlight).toBeGreaterThan(0);
    expect(inFlight).toBe(window);
    const waits = threads?.listed.map(({ waitsFor }) => waitsFor).join();
    expect(waits).toContain(`tcp socket 80 <- ${socket?.peer} to send`);
    site.machine.dispose();
  });

  test("of an end: its state follows RFC 9293", async () => {
    const { site, inspector } = await inspected();
    const client = site.connect();
    client.events.end();
    site.settle();
    const listed = inspector.view().sockets?.listed ?? [];
    // The server ends as well, and the client has acknowledged that: the record is gone.
    expect(listed.map(({ tcp }) => tcp?.state)).toEqual(["LISTEN"]);
    site.machine.dispose();
  });

  test("of threads, and of the rings of the card", async () => {
    const { site, inspector } = await inspected();
    site.connect();
    const { threads, devices, sockets } = inspector.view();
    const waits = threads?.listed.map(({ waitsFor }) => waitsFor);
    const peer = sockets?.listed.find(({ state }) => state === "connected")?.peer;
    expect(waits).toContain("tcp socket 80 to accept");
    expect(waits).toContain(`tcp socket 80 <- ${peer} to read`);
    const card = devices.find(({ name }) => name === "net");
    expect(card?.queues.map(({ name }) => name)).toEqual(["rx", "tx", "control"]);
    expect(card?.queues.every(({ ring }) => ring !== null)).toBe(true);
    expect(card?.queues[0]?.ring?.cells).toContain("a"); // posted receive buffers
    site.machine.dispose();
  });

  test("torito top lists them, with addresses and state", async () => {
    const { site, inspector } = await inspected();
    site.connect().get("/");
    const lines = topLines(inspector.view(), null, Number.POSITIVE_INFINITY);
    expect(lines).toContain("CONNECTIONS 1");
    expect(lines.at(-1)).toMatch(
      /^ {8}80 {2}10\.0\.2\.2:\d{5} +ESTABLISHED, 27 B in, \d{3} B out$/,
    );
    site.machine.dispose();
  });
});

describe("a trace of a request over TCP", () => {
  async function traced(): Promise<TraceEvent[]> {
    const events: TraceEvent[] = [];
    const clock = new TickingClock();
    const site = await Site.boot(directory, { manual: clock as never, clock, hasCard: true });
    const end = site.machine.insight.trace((event) => void events.push({ ...event }));
    expect(site.get("/")).toContain("home");
    end();
    site.machine.dispose();
    return events;
  }

  test("TR3: is one flow: frame in, run of the thread, file requests, frame out", async () => {
    const events = await traced();
    expect(perfettoFaults(events)).toEqual([]);
    const [exchange] = events.filter(({ ph, name }) => ph === "b" && name === "GET 200");
    const steps = events.filter(({ bind_id }) => bind_id === exchange?.id);
    const names = [...steps].sort((a, b) => a.ts - b.ts).map(({ name }) => name);
    expect(names[0]).toBe("TCP PSH+ACK to guest");
    const order = ["LOOKUP", "OPEN", "READ", "TCP PSH+ACK from guest"];
    const places = order.map((name) => names.indexOf(name));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
    const runs = steps.filter(({ pid }) => pid === THREADS).map(({ name }) => name);
    expect(runs).toContain("apps/web-server/connection/serveConnection");
  });

  test("has each frame with its ports, and names flags", async () => {
    const frames = (await traced()).filter(({ name }) => name.startsWith("TCP "));
    const [syn, answer] = frames;
    expect(syn?.name).toBe("TCP SYN to guest");
    expect(answer?.name).toBe("TCP SYN+ACK from guest");
    expect(syn?.args).toMatchObject({ dstPort: 80, srcPort: answer?.args?.dstPort });
    expect(Number(syn?.args?.bytes)).toBeGreaterThanOrEqual(54);
  });
});

test("a breakpoint stops at a frame by its protocol, its flags, or its port", async () => {
  const { PausableClock } = await import("../../host/pausable-clock.ts");
  const { SetClock } = await import("../support/set-clock.ts");
  const stopped = async (breakpoint: Parameters<Inspector["breakAt"]>[0][number]) => {
    const manual = new SetClock();
    const clock = new PausableClock(manual);
    const site = await Site.boot(directory, { manual, clock, hasCard: true });
    const inspector = new Inspector({ machine: site.machine, clock });
    inspector.breakAt([breakpoint]);
    site.connect().get("/");
    const name = inspector.view().stoppedAt?.name;
    site.machine.dispose();
    return name;
  };
  expect(await stopped({ on: "packet", op: "TCP" })).toBe("TCP SYN to guest");
  expect(await stopped({ on: "packet", op: "PSH" })).toBe("TCP PSH+ACK to guest");
  expect(await stopped({ on: "packet", op: "RW" })).toBeUndefined();
  expect(await stopped({ on: "packet", op: "ACK", port: 81 })).toBeUndefined();
});
