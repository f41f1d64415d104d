// Connections of this process to a guest, without an address of the host: as web streams, and as
// Node's Duplex. The guest is the echo application.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { pipeline } from "node:stream/promises";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { VsockDevice } from "../../../host/node/devices.ts";
import { Machine } from "../../../host/node/machine.ts";
import type { StreamPair } from "../../../host/sockets/streams.ts";

const ECHO = 7;
let device: VsockDevice;
let machine: Machine;

async function boot(options: ConstructorParameters<typeof VsockDevice>[0] = {}): Promise<void> {
  device = new VsockDevice(options);
  machine = await Machine.create({
    image: readFileSync("build/echo.wasm"),
    memoryBytes: 16 * 1024 * 1024,
    devices: [device],
  });
  machine.boot();
  await device.probe(ECHO);
}

beforeEach(() => boot());
afterEach(() => machine.dispose());

async function turns(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function drained(): Promise<void> {
  for (let i = 0; device.stats.connections > 0; i++) {
    if (i > 1000) throw new Error(`${device.stats.connections} connections are left`);
    await turns(1);
  }
}

async function readAll({ readable }: StreamPair): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of readable) parts.push(part);
  return Buffer.concat(parts);
}

describe("connect()", () => {
  test("carries bytes both ways, and each direction ends by itself", async () => {
    const streams = await device.connect(ECHO);
    const writer = streams.writable.getWriter();
    await writer.write(Buffer.from("hello, "));
    await writer.write(Buffer.from("guest"));
    await writer.close();
    expect((await readAll(streams)).toString()).toBe("hello, guest");
    await drained();
  });

  test("carries megabytes in any pieces", async () => {
    const sent = Buffer.alloc(5_000_000);
    for (let i = 0; i < sent.length; i++) sent[i] = (i * i) >> 5;
    const streams = await device.connect(ECHO);
    const source = new ReadableStream<Uint8Array>({
      start(controller) {
        for (let at = 0, size = 1; at < sent.length; at += size, size = (size * 7 + 1) % 300_000) {
          controller.enqueue(sent.subarray(at, at + size));
        }
        controller.close();
      },
    });
    const [received] = await Promise.all([readAll(streams), source.pipeTo(streams.writable)]);
    expect(received.equals(sent)).toBe(true);
    await drained();
  });

  test("holds writes back while nobody reads, and bounds all buffers", async () => {
    const { readable, writable } = await device.connect(ECHO);
    const writer = writable.getWriter();
    let written = 0;
    let isOver = false;
    const writing = (async () => {
      while (!isOver) {
        await writer.write(new Uint8Array(65536));
        written += 65536;
      }
    })();
    await turns(300);
    const stuck = written;
    await turns(300);
    expect(written).toBe(stuck);
    expect(stuck).toBeLessThan(4 * 1024 * 1024);
    isOver = true;
    const reader = readable.getReader();
    for (let got = 0; got < stuck; ) got += (await reader.read()).value?.length ?? 0;
    await writing;
    expect(written).toBe(stuck + 65536);
  });

  test("rejects if the guest refuses, with the port in the message", async () => {
    await expect(device.connect(99)).rejects.toThrow("vsock: port 99: the connection was refused");
    await drained();
  });

  test("rejects bad ports and ports of messages", async () => {
    for (const port of [-1, 1.5, 0xffffffff, Number.NaN]) {
      await expect(device.connect(port)).rejects.toThrow(RangeError);
    }
    machine.dispose();
    await boot({ seqpacket: [99] });
    await expect(device.connect(99)).rejects.toThrow("messages");
  });

  test("rejects when there is no room", async () => {
    machine.dispose();
    await boot({ limits: { connections: 1 } });
    await drained();
    const first = await device.connect(ECHO);
    await expect(device.connect(ECHO)).rejects.toThrow("refused");
    await first.writable.abort();
  });

  test("rejects without a machine, and after its end", async () => {
    await expect(new VsockDevice().connect(ECHO)).rejects.toThrow("not in a machine");
    machine.dispose();
    await expect(device.connect(ECHO)).rejects.toThrow("the machine is gone");
  });

  test("errors both streams when the machine ends", async () => {
    const { readable, writable } = await device.connect(ECHO);
    const reading = readable.getReader().read();
    const closing = writable.getWriter().closed;
    machine.dispose();
    await expect(reading).rejects.toThrow("the connection broke");
    await expect(closing).rejects.toThrow("the connection broke");
  });

  test("abort() of the writable resets the connection and errors the readable", async () => {
    const { readable, writable } = await device.connect(ECHO);
    const reason = new Error("enough");
    await writable.abort(reason);
    await expect(readable.getReader().read()).rejects.toBe(reason);
    await drained();
  });

  test("abort() ends a write that the guest does not take", async () => {
    const { readable, writable } = await device.connect(ECHO);
    const writer = writable.getWriter();
    const writes = Array.from({ length: 100 }, () =>
      writer.write(new Uint8Array(65536)).catch((error) => error),
    );
    await turns(200);
    const reason = new Error("enough");
    await writer.abort(reason);
    expect(await writes[99]).toBe(reason);
    await expect(readable.getReader().read()).rejects.toBe(reason);
    await drained();
  });

  test("an abort signal ends it before it is made, meanwhile, and later", async () => {
    const reason = new Error("enough");
    const aborted = device.connect(ECHO, { signal: AbortSignal.abort(reason) });
    await expect(aborted).rejects.toBe(reason);
    const early = new AbortController();
    const connecting = device.connect(ECHO, { signal: early.signal });
    early.abort(reason);
    await expect(connecting).rejects.toBe(reason);
    const late = new AbortController();
    const { readable, writable } = await device.connect(ECHO, { signal: late.signal });
    late.abort(reason);
    await expect(readable.getReader().read()).rejects.toBe(reason);
    await expect(writable.getWriter().write(new Uint8Array(1))).rejects.toBe(reason);
    await drained();
  });

  test("cancel() of the readable discards further bytes, and writing goes on", async () => {
    const { readable, writable } = await device.connect(ECHO);
    await readable.cancel();
    const writer = writable.getWriter();
    for (let i = 0; i < 50; i++) await writer.write(new Uint8Array(65536));
    await writer.close();
    await drained();
  });

  test("accepts nothing but bytes", async () => {
    const { writable } = await device.connect(ECHO);
    const write = (writable as WritableStream<unknown>).getWriter().write("text");
    await expect(write).rejects.toThrow("a chunk is a Uint8Array");
  });
});

describe("createConnection()", () => {
  test("is a Duplex: it connects, echoes and ends", async () => {
    const socket = device.createConnection(ECHO);
    socket.write("hello, ");
    await once(socket, "connect");
    socket.end("guest");
    let received = "";
    for await (const chunk of socket) received += chunk;
    expect(received).toBe("hello, guest");
    await drained();
  });

  test("takes part in pipelines, with megabytes", async () => {
    const sent = Buffer.alloc(3_000_000, "0123456789");
    const socket = device.createConnection(ECHO);
    const received: Buffer[] = [];
    await pipeline(
      [sent.subarray(0, 7), sent.subarray(7, 1_000_000), sent.subarray(1_000_000)],
      socket,
      async (chunks) => {
        for await (const chunk of chunks) received.push(chunk);
      },
    );
    expect(Buffer.concat(received).equals(sent)).toBe(true);
    await drained();
  });

  test("emits an error with a code if the guest refuses, or the machine ends", async () => {
    const [refused] = await once(device.createConnection(99), "error");
    expect(refused).toMatchObject({ code: "ECONNREFUSED", message: /port 99 refused/ });
    const socket = device.createConnection(ECHO);
    await once(socket, "connect");
    const closed = new Promise((resolve) => socket.on("close", resolve));
    machine.dispose();
    expect((await once(socket, "error"))[0]).toMatchObject({ code: "ECONNRESET" });
    await closed;
  });

  test("destroy() resets the connection", async () => {
    const socket = device.createConnection(ECHO);
    await once(socket, "connect");
    socket.destroy();
    await once(socket, "close");
    await drained();
  });
});
