// The stream applications as they are built: echo and ping-pong, with messages, and each other.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import net from "node:net";
import { afterEach, expect, test } from "vitest";
import type { VsockOptions } from "../../host/node/devices.ts";
import { VsockDevice, VsockSwitch } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";

const machines: Machine[] = [];
const servers: net.Server[] = [];
afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  for (const server of servers.splice(0)) server.close();
});

async function boot(app: string, options: VsockOptions, parameters = "") {
  const device = new VsockDevice(options);
  const lines: string[] = [];
  const machine = await Machine.create({
    image: readFileSync(`build/${app}.wasm`),
    memoryBytes: 32 * 1024 * 1024,
    parameters,
    devices: [device],
    console: (text) => void lines.push(text),
  });
  machines.push(machine);
  machine.boot();
  return { device, machine, lines };
}

function framed(message: Buffer, endsRecord: boolean): Buffer {
  const frame = Buffer.alloc(4);
  frame.writeUInt32LE(message.length + (endsRecord ? 0x80000000 : 0));
  return Buffer.concat([frame, message]);
}

/** An echo of the host's own, on a free port: bytes, whatever they mean. */
async function hostEcho(): Promise<number> {
  const server = net.createServer((socket) => {
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  servers.push(server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as net.AddressInfo).port;
}

test("echo sends messages back as they came, to a client that frames them", async () => {
  const { device } = await boot("echo", { seqpacket: [7] }, "type=seqpacket");
  await device.probe(7);
  const { port } = await device.publish({ port: 0, guestPort: 7 });
  const socket = net.connect(port, "127.0.0.1");
  const lengths = [1, 100, 4096, 65_536, 100_000, 262_144];
  const sent = lengths.map((length, i) => framed(Buffer.alloc(length, i + 1), i % 2 === 0));
  const all = Buffer.concat(sent);
  const received: Buffer[] = [];
  let bytes = 0;
  socket.on("data", (chunk) => {
    received.push(chunk);
    bytes += chunk.length;
    if (bytes >= all.length) socket.end();
  });
  for (const message of sent) socket.write(message);
  await once(socket, "close");
  expect(Buffer.concat(received).equals(all)).toBe(true);
});

test.each(["type=stream", "type=seqpacket"])(
  "ping-pong with an echo of the host, %s",
  async (type) => {
    const port = await hostEcho();
    const connect = new Map([[7, { host: "127.0.0.1", port }]]);
    const seqpacket = type === "type=seqpacket" ? [7] : [];
    const { machine, lines } = await boot(
      "ping-pong",
      { connect, seqpacket },
      `${type} count=20 size=100000`,
    );
    expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
    expect(lines.join("")).toContain("ping-pong: 20 round trips of 100000 bytes");
  },
);

test("ping-pong with an echo in another guest of this process", async () => {
  const network = new VsockSwitch();
  const echo = await boot("echo", { cid: 4, switch: network });
  await echo.device.probe(7);
  const { machine, lines } = await boot(
    "ping-pong",
    { cid: 5, switch: network },
    "cid=4 count=20 size=100000",
  );
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect(lines.join("")).toContain("ping-pong: 20 round trips of 100000 bytes");
});

test("ping-pong says what it cannot reach", async () => {
  const { machine, lines } = await boot("ping-pong", {}, "port=9");
  expect(await machine.exited).toEqual({ kind: "power-off", code: 1 });
  expect(lines.join("")).toContain("connect");
});
