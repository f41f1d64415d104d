// A stream over a MessagePort: what one side sends, credit, ends, and a peer that breaks the rules.
import { afterEach, describe, expect, test } from "vitest";
import { MESSAGE_BYTES, PortSocket, WINDOW_BYTES } from "../../../host/browser/port-socket.ts";
import { PortSockets } from "../../../host/browser/port-sockets.ts";
import type { SocketEvents, StreamSocket } from "../../../host/ports/sockets.ts";
import { until } from "../../support/appliance.ts";

const open: MessagePort[] = [];
afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

function channel(): MessageChannel {
  const made = new MessageChannel();
  open.push(made.port1, made.port2);
  return made;
}

/** Notes what happens to a socket. */
class Owner implements SocketEvents {
  readonly log: string[] = [];
  bytes = 0;
  connected() {
    this.log.push("connected");
  }
  data(chunk: Uint8Array) {
    this.bytes += chunk.length;
  }
  end() {
    this.log.push("end");
  }
  sent() {
    this.log.push("sent");
  }
  failed(error: Error) {
    this.log.push(`failed: ${error.message}`);
  }
  closed() {
    this.log.push("closed");
  }
}

function pair() {
  const { port1, port2 } = channel();
  const [client, server] = [new Owner(), new Owner()];
  const near = PortSocket.dial(port1, client);
  const far = new PortSocket(port2, server);
  return { near, far, client, server };
}

/** A socket, and its peer as a bare port whose messages are noted. */
function bare() {
  const { port1, port2 } = channel();
  const owner = new Owner();
  const socket = new PortSocket(port1, owner);
  const messages: unknown[] = [];
  port2.onmessage = ({ data }) => messages.push(data);
  return { socket, owner, peer: port2, messages };
}

const settle = () => new Promise((go) => setTimeout(go, 20));

test("bytes arrive in order, both sides end, and both are closed", async () => {
  const { near, far, client, server } = pair();
  expect(near.send([new Uint8Array(10), new Uint8Array(0), new Uint8Array(5)])).toBe(true);
  near.end();
  await until(() => server.log.includes("end"));
  expect(server.bytes).toBe(15);
  far.send([new Uint8Array(3)]);
  far.end();
  await until(() => client.log.includes("closed") && server.log.includes("closed"));
  expect(client).toMatchObject({ bytes: 3, log: ["connected", "end", "closed"] });
  expect(server.log).toEqual(["end", "closed"]);
});

test("a sender has no more than a window in flight, and goes on as its reader does", async () => {
  const { near, far, client, server } = pair();
  far.pause();
  const bytes = new Uint8Array(3 * WINDOW_BYTES);
  expect(near.send([bytes])).toBe(false);
  expect(near.unsent).toBe(2 * WINDOW_BYTES + MESSAGE_BYTES);
  await settle();
  expect([server.bytes, client.log]).toEqual([0, ["connected"]]);
  far.resume();
  await until(() => client.log.includes("sent"));
  await until(() => server.bytes === bytes.length);
  near.close();
  await until(() => server.log.includes("end"));
});

test("an end that waits for credit comes after the bytes", async () => {
  const { near, far, client, server } = pair();
  far.pause();
  near.send([new Uint8Array(2 * WINDOW_BYTES)]);
  near.end();
  far.resume();
  far.end();
  await until(() => client.log.includes("closed") && server.log.includes("closed"));
  expect(server).toMatchObject({ bytes: 2 * WINDOW_BYTES, log: ["end", "closed"] });
});

test("a reset fails the peer, and close with bytes unread is one", async () => {
  const { near, far, client, server } = pair();
  far.pause();
  near.send([new Uint8Array(1)]);
  await settle();
  far.close();
  await until(() => client.log.includes("closed"));
  expect(client.log).toEqual(["connected", "failed: the peer reset the connection", "closed"]);
  expect(server.log).toEqual(["closed"]);
});

test("a socket that its owner has closed resets a peer that sends on", async () => {
  const { socket, owner, peer, messages } = bare();
  socket.close();
  expect(socket.isLingering).toBe(true);
  peer.postMessage(new Uint8Array(1));
  await until(() => messages.length === 2);
  expect(messages).toEqual(["end", "reset"]);
  expect(owner.log).toEqual(["closed"]);
});

describe("a peer that breaks the rules is reset", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(4));
  const many = Array.from({ length: 3000 }, () => new Uint8Array(1));
  test.each<[string, unknown[]]>([
    ["a text", ["hello"]],
    ["null", [null]],
    ["an object", [{}]],
    ["credit for bytes that it never got", [1]],
    ["negative credit", [-5]],
    ["a huge number", [1e300]],
    ["no number", [Number.NaN]],
    ["no bytes", [new Uint8Array(0)]],
    ["a window at once", [new Uint8Array(WINDOW_BYTES)]],
    ["messages of one byte without end", many],
    ["a view of a part of a buffer", [new Uint8Array(1 << 20).subarray(0, 1)]],
    ["shared memory", [shared]],
    ["bytes after its end", ["end", new Uint8Array(1)]],
    ["two ends", ["end", "end"]],
  ])("%s", async (_, sent) => {
    const { socket, owner, peer, messages } = bare();
    socket.pause();
    for (const message of sent) peer.postMessage(message);
    await until(() => owner.log.includes("closed"));
    expect(owner.log).toEqual(["failed: the peer broke the rules of the connection", "closed"]);
    await until(() => messages.includes("reset"));
  });
});

describe("the network of a tab", () => {
  async function listening() {
    const accepted: StreamSocket[] = [];
    const refused: Error[] = [];
    const sockets = new PortSockets();
    const listener = await sockets.listen({ host: "tab", port: 80 }, 1, {
      accepted: (socket) => accepted.push(socket),
      refused: (error) => refused.push(error),
    });
    return { sockets, listener, accepted, refused };
  }

  test("clients of a port that nobody listens on are reset", async () => {
    const { sockets, listener, accepted } = await listening();
    const messages: unknown[] = [];
    const connect = (port: number) => {
      const { port1, port2 } = channel();
      port2.onmessage = ({ data }) => messages.push(data);
      sockets.accept(port, port1);
    };
    connect(80);
    connect(81);
    await until(() => messages.length === 1);
    listener.close();
    connect(80);
    await until(() => messages.length === 2);
    expect([accepted.length, messages]).toEqual([1, ["reset", "reset"]]);
  });

  test("an address can be listened on once, and a path not at all", async () => {
    const { sockets } = await listening();
    const acceptor = { accepted() {}, refused() {} };
    await expect(sockets.listen({ host: "tab", port: 80 }, 1, acceptor)).rejects.toThrow("in use");
    await expect(sockets.listen({ path: "/x" }, 1, acceptor)).rejects.toThrow("no paths");
  });

  test("further clients than the table has room for are reset, until others leave", async () => {
    const { sockets, accepted, refused } = await listening();
    const clients = Array.from({ length: 1100 }, () => channel());
    for (const { port1 } of clients) sockets.accept(80, port1);
    expect([accepted.length, refused.length, sockets.connections]).toEqual([1024, 76, 1024]);
    accepted[0]?.reset();
    sockets.accept(80, channel().port1);
    expect([accepted.length, sockets.connections]).toEqual([1025, 1024]);
  });

  test("connections whose peer never says its last word give way to new ones", async () => {
    const { sockets, accepted } = await listening();
    for (let i = 0; i < 1000; i++) {
      sockets.accept(80, channel().port1);
      accepted[i]?.close();
    }
    expect(sockets.connections).toBeLessThanOrEqual(65);
  });

  test("the guest reaches what the page answers for, and is refused elsewhere", async () => {
    const reached: MessagePort[] = [];
    const sockets = new PortSockets((port, client) => port === 7 && reached.push(client) > 0);
    const [yes, no] = [new Owner(), new Owner()];
    sockets.connect({ host: "page", port: 7 }, yes);
    sockets.connect({ host: "page", port: 8 }, no);
    await until(() => yes.log.length > 0 && no.log.includes("closed"));
    expect(yes.log).toEqual(["connected"]);
    expect(no.log).toEqual(["failed: the peer reset the connection", "closed"]);
    open.push(...reached);
  });
});
