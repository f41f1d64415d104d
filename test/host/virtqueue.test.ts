import { describe, expect, test } from "vitest";
import {
  VIRTQ_DESC_F_INDIRECT as INDIRECT,
  VIRTQ_DESC_F_NEXT as NEXT,
  VIRTQ_DESC_F_WRITE as WRITE,
} from "../../abi/virtio.ts";
import { type Chain, VirtQueue } from "../../host/virtqueue.ts";
import {
  type FakeDevice,
  fakeDevice,
  type PuppetOptions,
  RingPuppet,
} from "../support/ring-puppet.ts";

const bytes = (...values: number[]) => Uint8Array.from(values);

function puppet(options: PuppetOptions = {}, device: FakeDevice = fakeDevice()) {
  const driver = new RingPuppet(device, options);
  const queue = device.queues[0] as VirtQueue;
  return { device, driver, queue, view: driver.memory.view };
}

/** The segments of a chain as pairs of direction and length. */
const shape = (chain: Chain | null) =>
  chain?.lengths
    .slice(0, chain.count)
    .map((length, i) => [i < chain.readableCount ? "r" : "w", length]);

describe.each([
  [false, false],
  [false, true],
  [true, false],
  [true, true],
])("indirect %s, event index %s", (indirect, eventIdx) => {
  const options = { indirect, eventIdx };

  test("S2: pops what the driver posted, whatever the framing", () => {
    const { driver, queue } = puppet(options);
    const head = driver.add(0, [bytes(1, 2), bytes(), bytes(3, 4, 5)], [2, 4]);
    const chain = queue.pop()!;
    expect(chain.head).toBe(head);
    expect(shape(chain)).toEqual([
      ["r", 2],
      ["r", 0],
      ["r", 3],
      ["w", 2],
      ["w", 4],
    ]);
    expect([chain.readableBytes, chain.writableBytes]).toEqual([5, 6]);
    const header = new Uint8Array(4);
    expect(chain.copyFrom(1, header)).toBe(4);
    expect(header).toEqual(bytes(2, 3, 4, 5));
    expect(chain.copyTo(1, bytes(7, 8, 9))).toBe(3);
    expect(chain.writable(0, 100).map((part) => [...part])).toEqual([
      [0, 7],
      [8, 9, 0, 0],
    ]);
    expect(chain.copyTo(4, bytes(1, 2, 3))).toBe(2);
    chain.release(6);
    expect(driver.used(0)).toEqual([{ head, len: 6, data: bytes(0, 7, 8, 9, 1, 2) }]);
  });

  test("S2: finds a range in one piece in the first segment, or in the second after a header", () => {
    const { driver, queue } = puppet(options);
    expect(queue.available).toBe(0);
    driver.add(0, [bytes(1, 2), bytes(3, 4, 5)], [44, 100, 8]);
    driver.add(0, [], [152]);
    expect(queue.available).toBe(2);
    const apart = queue.pop()!;
    expect(queue.available).toBe(1);
    const [r0, r1, w0, w1] = apart.addresses as [number, number, number, number];
    expect([apart.readableAt(0, 2), apart.readableAt(2, 3)]).toEqual([r0, r1]);
    expect([apart.readableAt(1, 2), apart.readableAt(2, 4), apart.readableAt(5, 1)]).toEqual([
      -1, -1, -1,
    ]);
    expect([apart.writableAt(0, 44), apart.writableAt(44, 100)]).toEqual([w0, w1]);
    expect([apart.writableAt(50, 94), apart.writableAt(44, 101)]).toEqual([w1 + 6, -1]);
    expect([apart.writableAt(43, 2), apart.writableAt(144, 8)]).toEqual([-1, -1]);
    const together = queue.pop()!;
    expect(together.writableAt(44, 108)).toBe((together.addresses[0] as number) + 44);
    expect([together.writableAt(44, 109), together.readableAt(0, 0)]).toEqual([-1, -1]);
    expect(queue.available).toBe(0);
  });

  test("S4: changes neither a chain's readable part nor any descriptor", () => {
    const { driver, queue } = puppet(options);
    driver.add(0, [bytes(1, 2, 3), bytes(4)], [2, 4]);
    const { desc, size } = driver.rings(0);
    const descriptors = driver.memory.bytes(desc, size * 16).slice();
    const chain = queue.pop()!;
    const readable = () => chain.readable(0, 100).map((part) => [...part]);
    const before = readable();
    chain.copyTo(0, bytes(9, 9, 9, 9, 9, 9, 9, 9));
    expect(readable()).toEqual(before);
    chain.release(6);
    queue.signal();
    expect(driver.memory.bytes(desc, size * 16)).toEqual(descriptors);
  });

  test("S15: reports in the used ring at most the bytes that were written", () => {
    const { driver, queue } = puppet(options);
    const head = driver.add(0, [bytes(1)], [2, 2]);
    const chain = queue.pop()!;
    const written = chain.copyTo(0, bytes(5, 6, 7, 8, 9));
    chain.release(written);
    expect(driver.used(0)).toEqual([{ head, len: 4, data: bytes(5, 6, 7, 8) }]);
  });

  test("G29: serves more than 65536 chains, so that both indexes wrap", () => {
    const { driver, queue, device } = puppet({ ...options, queueSize: 4 });
    device.notify = () => {
      for (const chain of queue) chain.release(0);
    };
    let back = 0;
    let kicks = 0;
    let acknowledged = 0;
    for (let i = 0; i < 22000; i++) {
      for (let j = 0; j < 3; j++) driver.add(0, [bytes(1)], []);
      if (driver.wantsKick(0)) kicks++;
      driver.kick(0);
      back += driver.used(0).length;
      acknowledged += driver.acknowledge();
    }
    expect(kicks).toBe(22000);
    expect(acknowledged).toBe(22000);
    expect(back).toBe(66000);
    expect(driver.interrupts).toBe(22000);
    expect(driver.status).toBe(15);
  });

  test("S14: returns chains in the order of their release", () => {
    const { driver, queue } = puppet(options);
    const heads = [1, 2, 3].map((i) => driver.add(0, [bytes(i)], [1]));
    const [a, b, c] = [...queue] as [Chain, Chain, Chain];
    expect(queue.inFlight).toBe(3);
    c.release(1);
    a.release(0);
    expect(driver.used(0).map(({ head, len }) => [head, len])).toEqual([
      [heads[2], 1],
      [heads[0], 0],
    ]);
    b.release(1);
    expect(queue.inFlight).toBe(0);
    expect(driver.used(0).map(({ head }) => head)).toEqual([heads[1]]);
  });
});

describe("notifications", () => {
  test("S10, S11: follows the driver's flag and ignores used_event without EVENT_IDX", () => {
    const { driver, queue, view } = puppet({ eventIdx: false });
    const { avail, size } = driver.rings(0);
    const use = () => {
      driver.add(0, [bytes(1)], []);
      queue.pop()!.release(0);
      queue.signal();
    };
    view.setUint16(avail + 4 + size * 2, 77, true);
    use();
    expect(driver.interrupts).toBe(1);
    view.setUint16(avail, 1, true);
    use();
    expect(driver.interrupts).toBe(1);
  });

  test("S12: follows used_event and ignores the flag with EVENT_IDX", () => {
    const { driver, queue, view } = puppet();
    const { avail, size } = driver.rings(0);
    const event = avail + 4 + size * 2;
    const use = (chains: number) => {
      for (let i = 0; i < chains; i++) driver.add(0, [bytes(1)], []);
      for (const chain of queue) chain.release(0);
      queue.signal();
    };
    view.setUint16(avail, 1, true);
    view.setUint16(event, 1, true);
    use(1); // used index 1 does not pass 1
    expect(driver.interrupts).toBe(0);
    use(3); // from 1 to 4 does
    expect(driver.interrupts).toBe(1);
    use(1);
    expect(driver.interrupts).toBe(1);
    view.setUint16(event, 5, true);
    use(1);
    expect(driver.interrupts).toBe(2);
  });

  test("S17: signal() interrupts once for all that was used since, and not needlessly", () => {
    const { driver, queue } = puppet();
    for (let i = 0; i < 4; i++) driver.add(0, [bytes(i)], []);
    for (const chain of queue) chain.release(0);
    queue.signal();
    queue.signal();
    expect(driver.interrupts).toBe(1);
  });

  test("S13: asks for the next kick only when it found the queue empty", () => {
    const { driver, queue } = puppet();
    driver.add(0, [bytes(1)], []);
    expect(driver.wantsKick(0)).toBe(true);
    driver.kick(0);
    queue.pop();
    driver.add(0, [bytes(2)], []);
    expect(driver.wantsKick(0)).toBe(false); // the device has not looked at the end yet
    queue.pop();
    expect(queue.pop()).toBe(null);
    driver.add(0, [bytes(3)], []);
    expect(driver.wantsKick(0)).toBe(true);
  });
});

type Wrong = (driver: RingPuppet, table: number, outside: number) => void;

/** Each leaves one malformed chain with head 0 and says what the log must tell. */
const MALFORMED: [string, string, Wrong][] = [
  ["G1 a cycle", "longer than the queue", (d, t) => d.describe(0, 0, t, 1, NEXT, 0)],
  ["G2 a next out of the table", "next 8", (d, t) => d.describe(0, 0, t, 1, NEXT, 8)],
  ["G4 a buffer outside memory", "outside memory", (d, _, out) => d.describe(0, 0, out, 1, 0, 0)],
  [
    "G4 a buffer across the end",
    "outside memory",
    (d, _, out) => d.describe(0, 0, out - 4, 5, 0, 0),
  ],
  [
    "G5 an address and length that wrap at 2^32",
    "outside memory",
    (d) => d.describe(0, 0, 0xfffffff0, 0x20, 0, 0),
  ],
  ["G5 an address above 4 GiB", "outside memory", (d) => d.describe(0, 0, 2 ** 32, 1, 0, 0)],
  [
    "G8 readable after writable",
    "readable after writable",
    (d, t) => {
      d.describe(0, 0, t, 4, WRITE | NEXT, 1);
      d.describe(0, 1, t, 4, 0, 0);
    },
  ],
  [
    "G8 readable after an empty writable",
    "readable after writable",
    (d, t) => {
      d.describe(0, 0, t, 0, WRITE | NEXT, 1);
      d.describe(0, 1, t, 4, 0, 0);
    },
  ],
  ["G11 INDIRECT with NEXT", "with NEXT", (d, t) => d.describe(0, 0, t, 16, INDIRECT | NEXT, 1)],
  ["G12 an empty table", "table of 0 bytes", (d, t) => d.describe(0, 0, t, 0, INDIRECT, 0)],
  ["G12 a table of 17 bytes", "table of 17 bytes", (d, t) => d.describe(0, 0, t, 17, INDIRECT, 0)],
  [
    "G13 a table outside memory",
    "outside memory",
    (d, _, out) => d.describe(0, 0, out - 8, 16, INDIRECT, 0),
  ],
  [
    "G13 a loop inside a table",
    "longer than the queue",
    (d, t) => {
      d.memory.view.setUint32(t + 8, 1, true);
      d.memory.view.setUint16(t + 12, NEXT, true);
      d.describe(0, 0, t, 16, INDIRECT, 0);
    },
  ],
  [
    "S7 a next out of an indirect table",
    "next 1",
    (d, t) => {
      d.memory.view.setUint32(t + 12, NEXT | (1 << 16), true);
      d.describe(0, 0, t, 16, INDIRECT, 0);
    },
  ],
  [
    "G10 a table in a table",
    "inside an indirect table",
    (d, t) => {
      d.memory.view.setUint32(t, t, true);
      d.memory.view.setUint32(t + 8, 16, true);
      d.memory.view.setUint16(t + 12, INDIRECT, true);
      d.describe(0, 0, t, 16, INDIRECT, 0);
    },
  ],
];

describe("G32: returns malformed chains empty, and goes on", () => {
  test.each(MALFORMED)("%s", (_, fact, wrong) => {
    const { driver, queue } = puppet();
    const table = driver.allocate(64);
    wrong(driver, table, driver.memory.byteLength);
    driver.publish(0, 0);
    driver.describe(0, 7, table, 3, 0, 0);
    driver.publish(0, 7);
    const chain = queue.pop()!;
    expect([chain.head, chain.readableBytes]).toEqual([7, 3]);
    expect(driver.used(0)).toEqual([{ head: 0, len: 0, data: bytes() }]);
    expect(driver.logs.join()).toContain(fact);
    expect(driver.registers.rejectedChains).toBe(1);
    expect(driver.status).toBe(15);
  });

  test("S6, G9: INDIRECT without the feature", () => {
    const { driver, queue, view } = puppet();
    const { desc, avail, used, size } = driver.rings(0);
    const errors: string[] = [];
    const plain = new VirtQueue(driver.memory, {
      ...{ name: "plain", size, desc, avail, used, indirect: false, eventIdx: false },
      interrupt: () => {},
      rejected: (error) => errors.push(error.message),
      broken: () => {},
    });
    queue.detach();
    driver.describe(0, 0, driver.allocate(16), 16, INDIRECT, 0);
    driver.publish(0, 0);
    expect(plain.pop()).toBe(null);
    expect(errors).toEqual(["plain: head 0: INDIRECT without the feature"]);
    expect(view.getUint16(used + 2, true)).toBe(1);
  });

  test("S5, G7: a chain of more than 4 GiB in total", () => {
    const { driver, queue } = puppet({ pages: 1024 }, fakeDevice({ queueSizesMax: [128] }));
    for (let i = 0; i < 65; i++) {
      driver.describe(0, i, 0, driver.memory.byteLength, i < 64 ? NEXT : 0, i + 1);
    }
    driver.publish(0, 0);
    expect(queue.pop()).toBe(null);
    expect(driver.used(0).length).toBe(1);
    expect(driver.logs[0]).toContain("more than 4 GiB");
  });

  test("S5, G3, G12: a chain that is longer than the queue, by an indirect table", () => {
    const { driver, queue } = puppet();
    const table = driver.allocate(16 * 9);
    for (let i = 0; i < 9; i++) {
      driver.memory.view.setUint32(table + i * 16 + 12, i < 8 ? NEXT | ((i + 1) << 16) : 0, true);
    }
    driver.describe(0, 0, table, 16 * 9, INDIRECT, 0);
    driver.publish(0, 0);
    expect(queue.pop()).toBe(null);
    expect(driver.logs[0]).toContain("longer than the queue");
  });

  test("S5: serves a chain that is exactly as long as the queue", () => {
    const { driver, queue } = puppet();
    const one = bytes(1);
    driver.add(0, [one, one, one, one, one, one, one, one], []);
    expect(queue.pop()!.count).toBe(8);
  });

  test("S8: accepts normal descriptors before one INDIRECT, whose WRITE flag it ignores", () => {
    const { driver, queue, view } = puppet();
    const table = driver.allocate(32);
    view.setUint32(table + 8, 5, true);
    view.setUint32(table + 12, WRITE, true);
    driver.describe(0, 0, table, 3, NEXT, 4);
    driver.describe(0, 4, table, 16, INDIRECT | WRITE, 0);
    driver.publish(0, 0);
    expect(shape(queue.pop())).toEqual([
      ["r", 3],
      ["w", 5],
    ]);
  });

  test("G6: accepts buffers of length 0", () => {
    const { driver, queue } = puppet();
    driver.add(0, [bytes()], [0]);
    const chain = queue.pop()!;
    expect([chain.count, chain.readableBytes, chain.writableBytes]).toEqual([2, 0, 0]);
    expect(chain.copyTo(0, bytes(1))).toBe(0);
  });

  test("G19: ignores descriptors that change after pop()", () => {
    const { driver, queue } = puppet();
    const head = driver.add(0, [bytes(1, 2, 3)], []);
    const chain = queue.pop()!;
    driver.describe(0, head, 0xffffffff, 0xffffffff, NEXT, 99);
    expect([...chain.segment(0)]).toEqual([1, 2, 3]);
    chain.release(0);
    expect(driver.used(0)[0]!.head).toBe(head);
  });
});

describe("rings that contradict themselves break the queue", () => {
  test.each<[string, Wrong]>([
    [
      "G14 an available index that jumps",
      (d) => d.memory.view.setUint16(d.rings(0).avail + 2, 9, true),
    ],
    [
      "G15 an available index that goes back",
      (d) => d.memory.view.setUint16(d.rings(0).avail + 2, 0xffff, true),
    ],
    ["G16 an available entry out of the table", (d) => d.publish(0, 8)],
    [
      "G17 a head that is in flight already",
      (d, t) => {
        d.describe(0, 3, t, 1, 0, 0);
        d.publish(0, 3);
        d.publish(0, 3);
      },
    ],
  ])("%s", (_, wrong) => {
    const { driver, queue } = puppet();
    wrong(driver, driver.allocate(64), 0);
    const popped = [...queue].length;
    expect(popped).toBeLessThanOrEqual(1);
    expect(driver.registers.brokenQueues).toBe(1);
    driver.publish(0, 1);
    expect(queue.pop()).toBe(null);
    expect(driver.registers.brokenQueues).toBe(1);
  });

  test("G31: pops no more than the queue holds from an endless supply", () => {
    const { driver, queue } = puppet();
    for (let i = 0; i < 8; i++) driver.add(0, [bytes(i)], []);
    expect([...queue].length).toBe(8);
    driver.publish(0, 0);
    expect(queue.pop()).toBe(null);
    expect(queue.inFlight).toBe(8);
    expect(driver.registers.brokenQueues).toBe(1);
  });
});

test("G30: ignores a second release, or one after a reset", () => {
  const { driver, queue, view } = puppet();
  driver.add(0, [bytes(1)], []);
  driver.add(0, [bytes(2)], []);
  const [first, second] = [...queue] as [Chain, Chain];
  first.release(0);
  first.release(0);
  expect(driver.used(0).length).toBe(1);
  queue.detach();
  second.release(0);
  queue.signal();
  expect(view.getUint16(driver.rings(0).used + 2, true)).toBe(1);
  expect(queue.pop()).toBe(null);
});
