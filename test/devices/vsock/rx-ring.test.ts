// Which of the guest's receive buffers a packet takes, where they differ in size.
import { describe, expect, test } from "vitest";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import {
  bootPublished,
  type Packet,
  type PuppetOptions,
  type VsockPuppet,
} from "../../support/vsock-puppet.ts";

const HUGE = 1 << 30;
const PAGE = [44, 4096];
const LARGE = [44, 65536];

/** Capacity and payload bytes of what was used, in order. */
function used(puppet: VsockPuppet): [number, number][] {
  return puppet.rx.used().map(({ bytes, len }) => [bytes.length - 44, len - 44]);
}

describe.each(RING_KINDS)("which buffer ($name)", (rings) => {
  /** A guest without buffers but those given, an open connection, and the heads by name. */
  async function boot(buffers: readonly (readonly number[])[], options: PuppetOptions = {}) {
    const puppet = await bootPublished({
      rings,
      receive: "data",
      ...options,
      rxBuffers: 1,
      rxBuffer: [44],
    });
    const client = puppet.network.client();
    const [{ hostPort }] = puppet.take(false) as [Packet];
    puppet.send({ op: 2, hostPort, bufAlloc: HUGE });
    for (const pieces of buffers) puppet.post(1, pieces);
    puppet.halt();
    return { puppet, client, hostPort };
  }

  test("takes the smallest buffer that holds a packet, wherever it is in the ring", async () => {
    const { puppet, client } = await boot([LARGE, PAGE, LARGE, [1526], PAGE, LARGE]);
    client.say(Buffer.alloc(100));
    expect(used(puppet)).toEqual([[65536, 100]]); // nothing smaller was known yet
    for (const bytes of [200, 4000, 60_000, 2000, 30_000]) client.say(Buffer.alloc(bytes));
    expect(used(puppet)).toEqual([
      [4096, 200],
      [4096, 4000],
      [65536, 60_000],
      [65536, 2000],
      [1482, 1482],
    ]);
  });

  test("leaves large buffers alone for small packets once it knows both sizes", async () => {
    const mixed = Array.from({ length: 8 }, (_, i) => (i % 2 === 0 ? PAGE : LARGE));
    const { puppet, client } = await boot(mixed);
    client.say(Buffer.alloc(65536));
    used(puppet);
    for (let i = 0; i < 3; i++) client.say(Buffer.alloc(1000));
    for (let i = 0; i < 3; i++) client.say(Buffer.alloc(50_000));
    const sizes = used(puppet);
    expect(sizes.filter(([room]) => room === 65536)).toEqual(Array(3).fill([65536, 50_000]));
  });

  test("cuts a packet to the largest buffer when none holds all of it", async () => {
    const { puppet, client } = await boot([PAGE, [44, 1000], PAGE]);
    client.say(Buffer.alloc(9000));
    expect(used(puppet)).toEqual([
      [4096, 4096],
      [4096, 4096],
      [1000, 808],
    ]);
  });

  test("K16: a packet gets a buffer of any size before it has to wait", async () => {
    const { puppet, client } = await boot([LARGE, LARGE, LARGE]);
    for (let i = 0; i < 4; i++) client.say(Buffer.from("x"));
    expect(client.paused).toBe(true);
    expect(used(puppet)).toHaveLength(3);
    puppet.post(1, PAGE);
    puppet.halt();
    expect(used(puppet)).toEqual([[4096, 1]]);
    expect(client.paused).toBe(false);
  });

  test("uses buffers of one size in ring order", async () => {
    const { puppet, client } = await boot(Array(8).fill(PAGE));
    const before = puppet.rx.queue.inFlight;
    client.say(Buffer.alloc(10));
    expect(puppet.rx.queue.inFlight).toBe(before);
    expect(puppet.rx.queue.available).toBe(7);
  });

  test("in-place reads reserve the largest buffers, and none of a ring of pages", async () => {
    const mixed = [...Array(6).fill(PAGE), ...Array(6).fill(LARGE)];
    const { puppet, client } = await boot(mixed, { receive: "adaptive" });
    client.say(Buffer.alloc(65536, "a"));
    expect(client.reader?.armed.length).toBe(65536);
    used(puppet);
    client.say(Buffer.alloc(20_000, "b"));
    expect(used(puppet)).toEqual([[65536, 20_000]]);
  });

  test("K15: loses no byte when buffers of every size come in turn, some of them useless", async () => {
    const sizes = [[44], [45], [44, 7], [50, 50], [43], [44, 300], [4000], [44, 65536], [1, 1, 60]];
    const { puppet, client } = await boot([]);
    const sent = Buffer.from(Array.from({ length: 20_000 }, (_, i) => i & 255));
    client.say(sent);
    const got: Buffer[] = [];
    for (let i = 0; got.reduce((sum, part) => sum + part.length, 0) < sent.length; i++) {
      if (i > 1000) throw new Error("no end");
      puppet.post(1, sizes[i % sizes.length]);
      puppet.halt();
      for (const { bytes, len } of puppet.rx.used()) got.push(Buffer.from(bytes.subarray(44, len)));
    }
    expect(Buffer.concat(got).equals(sent)).toBe(true);
  });
});
