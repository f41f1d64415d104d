// The guest's sockets against the real device: a machine, its calls one by one, and what is around
// it.

import type { VirtioDevice } from "../../host/device.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { systemClock } from "../../host/node/clock.ts";
import type { VsockOptions } from "../../host/node/devices.ts";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { collectHits, type GuestImage } from "./guest.ts";
import { SimulatedNetwork, type SimulatedSocket } from "./simulation-socket.ts";

const OPS = ["accept", "connect", "recv", "peek", "send", "select", "shutdown", "close"] as const;

/** Of deferred turns and events of sockets, without time passing. */
const ROUNDS_MAX = 10_000;

export interface HalvesOptions {
  /** Real sockets, and the system's clock. */
  readonly real?: boolean;
  readonly vsock?: VsockOptions;
  readonly machine?: Partial<MachineOptions>;
  readonly more?: readonly VirtioDevice[];
}

export class BothHalves {
  readonly clock: ManualClock;
  readonly network: SimulatedNetwork;
  readonly vsock: VsockDevice;
  readonly machine: Machine;
  readonly clients: SimulatedSocket[] = [];
  readonly #image: GuestImage;

  static async boot(image: GuestImage, options: HalvesOptions = {}): Promise<BothHalves> {
    const clock = new ManualClock();
    const network = new SimulatedNetwork();
    const sockets = options.real ? {} : { sockets: network };
    const vsock = new VsockDevice({ ...sockets, ...options.vsock });
    const machine = await Machine.create({
      image: image.module,
      sourceMap: image.map,
      memoryBytes: 16 * 1024 * 1024,
      clock: options.real ? systemClock : clock,
      entropy: (into) => into.fill(7),
      devices: [vsock, ...(options.more ?? [])],
      ...options.machine,
    });
    machine.boot();
    return new BothHalves(image, clock, network, vsock, machine);
  }

  private constructor(
    image: GuestImage,
    clock: ManualClock,
    network: SimulatedNetwork,
    vsock: VsockDevice,
    machine: Machine,
  ) {
    this.#image = image;
    this.clock = clock;
    this.network = network;
    this.vsock = vsock;
    this.machine = machine;
  }

  /** A call that does not yield. */
  call(name: string, ...args: number[]): number {
    const result = Number(this.machine.call(name, ...args) ?? 0);
    this.settle();
    return result;
  }

  /** A call that may yield; asks for its result, undefined while there is none. */
  start(op: (typeof OPS)[number], ...args: number[]): () => number | undefined {
    const [a = 0, b = 0, c = 0, d = 0] = args;
    const record = this.call("start", OPS.indexOf(op), a, b, c, d);
    const { view } = this.machine.memory;
    return () => {
      if (view.getUint32(record, true) === 0) return undefined;
      return view.getInt32(record + 4, true);
    };
  }

  /** Everything that can happen without time passing happens. */
  settle(): void {
    for (let rounds = 0; ; rounds++) {
      if (rounds > ROUNDS_MAX) throw new Error("guest and device never come to rest");
      let happened = this.clock.settle();
      for (const { socket } of this.network.connects) happened += socket.settle();
      for (const socket of this.clients) happened += socket.settle();
      if (happened === 0) return;
    }
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.settle();
  }

  publish(guestPort: number): Promise<{ port: number }> {
    return this.vsock.publish({ host: "127.0.0.1", port: 0, guestPort });
  }

  /** A client of the published port. */
  client(takes?: () => boolean): SimulatedSocket {
    const socket = this.network.client(takes);
    this.clients.push(socket);
    this.settle();
    return socket;
  }

  /** Did the guest or a device do anything wrong? */
  faults(): number {
    return this.machine.registers.reduce(
      (sum, one) => sum + one.illegalAccesses + one.rejectedChains + one.brokenQueues,
      this.vsock.stats.rejected,
    );
  }

  dispose(): void {
    collectHits(this.#image, this.machine);
    this.machine.dispose();
  }
}
