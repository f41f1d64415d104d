// Ports that outlive machines: a client waits while no guest listens, and is never read meanwhile.
import { describe, expect, test } from "vitest";
import {
  type Acceptor,
  NOBODY,
  type Sockets,
  type StreamSocket,
  type TcpAddress,
} from "../../host/ports/sockets.ts";
import { StandingPorts } from "../../host/service/standing-ports.ts";

const ADDRESS: TcpAddress = { host: "127.0.0.1", port: 4000 };

/** A client, and what has been done to it. */
function client() {
  const calls: string[] = [];
  const note = (name: string) => () => void calls.push(name);
  const socket: StreamSocket = {
    events: NOBODY,
    readInto: () => false,
    send: () => true,
    end: note("end"),
    pause: note("pause"),
    resume: note("resume"),
    close: note("close"),
    reset: note("reset"),
  };
  return { socket, calls };
}

/** Ports over a network whose clients the test makes. */
async function standing() {
  const outside: Acceptor[] = [];
  const closed: number[] = [];
  const sockets: Sockets = {
    listen: async (address, _, acceptor) => {
      outside.push(acceptor);
      return { address, close: () => void closed.push((address as TcpAddress).port) };
    },
    connect: () => client().socket,
  };
  const ports = new StandingPorts(sockets);
  await ports.bind(ADDRESS);
  const device = async () => {
    const accepted: StreamSocket[] = [];
    const acceptor = { accepted: (one: StreamSocket) => void accepted.push(one), refused() {} };
    return { accepted, listener: await ports.listen(ADDRESS, 1, acceptor) };
  };
  const come = (who = client()) => {
    outside[0]?.accepted(who.socket);
    return who;
  };
  return { ports, device, come, closed, listeners: () => outside.length };
}

describe("a client", () => {
  test("waits unread, and goes to the machine that listens first", async () => {
    const { ports, device, come } = await standing();
    const early = come();
    expect(early.calls).toEqual(["pause"]);
    const { accepted } = await device();
    expect(accepted).toEqual([]);
    ports.set("open");
    expect(accepted).toEqual([early.socket]);
    expect(early.calls).toEqual(["pause", "resume"]);
    const late = come();
    expect(accepted).toEqual([early.socket, late.socket]);
    expect(late.calls).toEqual([]);
  });

  test("of a machine that goes away comes to the next one", async () => {
    const { ports, device, come, listeners } = await standing();
    const first = await device();
    ports.set("open");
    ports.set("waiting");
    first.listener.close();
    const between = come();
    const second = await device();
    first.listener.close(); // once more: it is another's port by now
    ports.set("open");
    expect(first.accepted).toEqual([]);
    expect(second.accepted).toEqual([between.socket]);
    expect(listeners()).toBe(1);
  });

  test("that leaves while it waits is forgotten", async () => {
    const { ports, device, come } = await standing();
    const gone = come();
    gone.socket.events.closed();
    const { accepted } = await device();
    ports.set("open");
    expect(accepted).toEqual([]);
    expect(gone.calls).toEqual(["pause"]);
  });

  test("is reset when nothing is served, and so are those that waited", async () => {
    const { ports, come } = await standing();
    const waiting = come();
    ports.set("closed");
    expect(waiting.calls).toEqual(["pause", "reset"]);
    expect(come().calls).toEqual(["reset"]);
  });

  test("is reset if 256 wait already", async () => {
    const { come } = await standing();
    const clients = Array.from({ length: 257 }, () => come());
    expect(clients.filter(({ calls }) => calls[0] === "pause")).toHaveLength(256);
    expect(clients.at(-1)?.calls).toEqual(["reset"]);
  });
});

test("a port that is not kept is closed, and others are the network's own", async () => {
  const { ports, closed, listeners } = await standing();
  const other = { host: "127.0.0.1", port: 5000 };
  const acceptor = { accepted() {}, refused() {} };
  (await ports.listen(other, 1, acceptor)).close();
  expect(closed).toEqual([5000]);
  expect(listeners()).toBe(2);
  ports.keep([ADDRESS]);
  expect(closed).toEqual([5000]);
  ports.keep([]);
  expect(closed).toEqual([5000, 4000]);
});
