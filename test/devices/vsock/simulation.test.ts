// Seeded chaos against the vsock device: a guest and clients that do anything at any time. Whatever
// happens, nothing throws, limits hold, and once all clients have left nothing is held any more.
import { describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { RING_KINDS, type RingKind } from "../../support/ring-kinds.ts";
import {
  type FakeSocket,
  type Packet,
  type PuppetOptions,
  VsockPuppet,
} from "../../support/vsock-puppet.ts";

const CONNECTIONS_MAX = 8;
const GUEST_PORTS = [80, 1000, 1001];

/** mulberry32: numbers in [0, 1) that depend on the seed only. */
function random(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Tiny buffers, all alike; and the reading in place of what fits into larger ones. */
const GUESTS: Readonly<Record<string, PuppetOptions>> = {
  "copied to": { rxBuffer: [44, 50], rxBuffers: 4 },
  "read into": { rxBuffer: [44, 700], rxBuffers: 12, receive: "in-place" },
  "given messages": { rxBuffer: [44, 300], rxBuffers: 8, seqpacket: [80, 7, 1000] },
  "read into, inline": { rxBuffer: [20_044], rxBuffers: 8, receive: "adaptive" },
};

class Chaos {
  readonly puppet: VsockPuppet;
  readonly #random: () => number;
  readonly #sockets = new Set<FakeSocket>();
  readonly #hostPorts = [7, 8, 2 ** 30];
  readonly #ended = new Set<FakeSocket>();
  readonly #types: readonly number[];
  #connects = 0;

  constructor(seed: number, guest: PuppetOptions) {
    this.#random = random(seed);
    this.#types = guest.seqpacket === undefined ? [1] : [1, 2, 2, 2, 2];
    this.puppet = new VsockPuppet({
      connect: new Map([[7, { host: "127.0.0.1", port: 9 }]]),
      limits: { connections: CONNECTIONS_MAX, bufAlloc: 4096 },
      ringSize: 64,
      rings: RING_KINDS[seed % RING_KINDS.length] as RingKind,
      ...guest,
    });
  }

  step(): void {
    const pick = this.#random();
    if (pick < 0.1) this.#sockets.add(this.puppet.network.client());
    else if (pick < 0.5) this.#guestActs();
    else if (pick < 0.6) this.#guestTakes();
    else if (pick < 0.65) this.puppet.advance(this.#below(3000));
    else if (pick < 0.652) this.#reset();
    else if (pick < 0.654) this.puppet.device.resetTransport();
    else this.#clientActs();
    this.puppet.tx.used();
    this.#adopt();
    this.#close();
  }

  /** Everybody leaves, and the guest takes what was owed to it. */
  finish(): void {
    for (const socket of this.#sockets) this.#vanish(socket);
    for (let idle = 0; idle < 50; idle++) {
      if (this.#guestTakes() > 0) idle = 0;
      this.puppet.tx.used();
      this.puppet.advance(1000);
      this.#adopt();
      for (const socket of this.#sockets) this.#vanish(socket);
    }
  }

  #below(bound: number): number {
    return Math.floor(this.#random() * bound);
  }

  #any<T>(values: readonly T[]): T {
    return values[this.#below(values.length)] as T;
  }

  /** The driver begins anew, in the middle of everything. */
  #reset(): void {
    const { rx, tx, events, device } = this.puppet;
    for (const ring of [rx, tx, events]) ring.detach();
    device.reset();
    this.puppet.boot();
  }

  #guestTakes(): number {
    const packets = this.puppet.take();
    for (const packet of packets) {
      if (!this.#hostPorts.includes(packet.hostPort)) this.#hostPorts.push(packet.hostPort);
      const refuses = this.#random() < 0.2 || this.puppet.tx.free === 0;
      if (packet.op !== VsockOp.REQUEST || refuses) continue;
      const { hostPort, type } = packet;
      this.puppet.send({ op: VsockOp.RESPONSE, hostPort, type });
    }
    return packets.length;
  }

  #guestActs(): void {
    const packets: Partial<Packet>[] = [];
    const room = this.puppet.tx.free;
    for (let count = Math.min(this.#below(5), room - 1); count >= 0; count--) {
      const data = Buffer.alloc(this.#below(10) === 0 ? 3000 : this.#below(100));
      packets.push({
        op: this.#any([1, 2, 3, 4, 4, 5, 5, 5, 5, 5, 5, 6, 7, 0, 9]),
        hostPort: this.#any(this.#hostPorts.slice(-CONNECTIONS_MAX)),
        guestPort: this.#any(GUEST_PORTS),
        flags: this.#below(4),
        type: this.#any(this.#types),
        bufAlloc: this.#any([0, 10, 1000, 0xffffffff]),
        fwdCnt: this.#any([0, 0, 50, 0xffffffff]),
        len: this.#below(50) === 0 ? 5000 : data.length,
        data,
      });
    }
    this.puppet.send(...packets);
  }

  #clientActs(): void {
    const sockets = [...this.#sockets];
    if (sockets.length === 0) return;
    const socket = this.#any(sockets);
    const pick = this.#random();
    if (pick < 0.4) {
      if (!socket.paused && !this.#ended.has(socket)) {
        socket.say(Buffer.alloc(this.#any([1, 3, 65536]), this.#any([0, 1, 20])));
      }
      socket.canLand = this.#random() < 0.8;
      socket.deliver();
    } else if (pick < 0.5) {
      if (!this.#ended.has(socket)) socket.events.end();
      this.#ended.add(socket);
    } else if (pick < 0.6) {
      socket.events.connected();
    } else if (pick < 0.9) {
      if (socket.taking) socket.taking = false;
      else if (socket.sending) socket.take();
    } else {
      this.#vanish(socket);
    }
  }

  #vanish(socket: FakeSocket): void {
    this.#sockets.delete(socket);
    socket.fail();
  }

  /** Sockets that the guest's REQUESTs made. */
  #adopt(): void {
    const { connects } = this.puppet.network;
    for (; this.#connects < connects.length; this.#connects++) {
      this.#sockets.add((connects[this.#connects] as { socket: FakeSocket }).socket);
    }
  }

  /** A socket is closed once the device has closed it, or both ends have ended. */
  #close(): void {
    for (const socket of this.#sockets) {
      const ended = socket.calls.includes("end") && this.#ended.has(socket) && !socket.sending;
      if (!ended && !socket.calls.includes("close") && !socket.calls.includes("reset")) continue;
      this.#sockets.delete(socket);
      socket.events.closed();
    }
  }
}

describe.each(Object.keys(GUESTS))("a guest whose buffers are %s", (name) => {
  test.each(Array.from({ length: 40 }, (_, i) => i + 1))("G31, K1-K19: seed %i", async (seed) => {
    const chaos = new Chaos(seed, GUESTS[name] as PuppetOptions);
    const { puppet } = chaos;
    await puppet.publish();
    puppet.boot();
    for (let i = 0; i < 600; i++) {
      chaos.step();
      expect(puppet.device.stats.connections).toBeLessThanOrEqual(CONNECTIONS_MAX);
    }
    chaos.finish();
    expect(puppet.device.stats.connections).toBe(0);
    expect(puppet.tx.queue.inFlight).toBe(0);
    expect(puppet.device.holdings.txDescriptors).toBe(0);
    expect(puppet.device.holdings.rxBuffers).toBe(0);
    expect([...puppet.rx.faults, ...puppet.tx.faults]).toEqual([]);
  });
});
