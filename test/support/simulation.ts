// The whole appliance under a seed: the WebServer image, both devices, and around them a clock,
// sockets and files of the test's own. The seed decides what happens, when and in which order.
import { createHash } from "node:crypto";
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC } from "../../abi/virtio.ts";
import { FsDevice, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { SetClock } from "./set-clock.ts";
import { SimulatedFiles } from "./simulation-files.ts";
import { allPaths, makeSite } from "./simulation-http.ts";
import { Random } from "./simulation-random.ts";
import { SimulatedNetwork, type SimulatedSocket } from "./simulation-socket.ts";

const site = makeSite();

/** Someone on the network: acts once in a while, until it is done. */
export interface Actor {
  readonly done: boolean;
  /** The latest time at which it must act, in milliseconds. */
  urgentMs(nowMs: number): number;
  act(): string;
}

export interface Books {
  readonly sockets: number;
  readonly threads: number;
  readonly heap: number;
  readonly blocks: number;
  readonly connections: number;
  readonly opened: number;
}

const STEPS_MAX = 200_000;
/** Of deferred turns, without time passing. */
const ROUNDS_MAX = 10_000;
/** Idle connections, those of slow readers, and the kernel's own time-outs end within it. */
const AFTERMATH_MS = 120_000;

/** 2033: when no file of the site is new any more. */
const STARTED_NS = 2_000_000_000_000_000_000n;

export class Simulation {
  readonly random: Random;
  readonly clock = new SetClock(1e9);
  readonly network = new SimulatedNetwork();
  readonly files = new SimulatedFiles(site);
  readonly site = site;
  readonly machine: Machine;
  readonly vsock: VsockDevice;
  /** Complaints of the machine. */
  readonly warnings: string[] = [];
  ended = "";
  readonly #trace = createHash("sha256");

  static async boot(image: WebAssembly.Module, seed: number): Promise<Simulation> {
    const random = new Random(seed);
    const withheld =
      (random.chance(0.25) ? 1n << BigInt(VIRTIO_F_EVENT_IDX) : 0n) |
      (random.chance(0.25) ? 1n << BigInt(VIRTIO_F_INDIRECT_DESC) : 0n);
    const simulation = new Simulation(random);
    const { network, files, clock, warnings } = simulation;
    const bufAlloc = random.any([8192, 40_000, 262_144]);
    const vsock = new VsockDevice({ sockets: network, limits: { bufAlloc } });
    const fs = new FsDevice({ directory: "/", tag: "site", readOnly: true, files });
    const machine = await Machine.create({
      image,
      memoryBytes: 16 * 1024 * 1024,
      clock,
      devices: [vsock, fs],
      parameters: "idle=15000 head=10000",
      entropy: (into) => random.fill(into),
      withheldFeatures: withheld,
      budget: random.any([1, 10, 10_000]),
      log: (level, component, message) => {
        if (level === "warn" || level === "error") warnings.push(`${component}: ${message}`);
      },
    });
    Object.assign(simulation, { machine, vsock });
    machine.exited.then((exit) => {
      simulation.ended = JSON.stringify(exit);
    });
    await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
    clock.setRealtime(STARTED_NS);
    machine.boot();
    simulation.settle();
    return simulation;
  }

  private constructor(random: Random) {
    this.random = random;
    this.machine = undefined as unknown as Machine;
    this.vsock = undefined as unknown as VsockDevice;
  }

  get nowMs(): number {
    return this.clock.now() / 1e6;
  }

  connect(takes: () => boolean = () => true): SimulatedSocket {
    const socket = this.network.client(takes);
    this.settle();
    return socket;
  }

  /** Guest and devices do what they can while no time passes. */
  settle(): void {
    for (let rounds = 0; this.clock.settle() > 0; rounds++) {
      if (rounds > ROUNDS_MAX) throw new Error("guest and devices never come to rest");
    }
  }

  /** Sends on a connection of its own and returns all that comes back. Nothing waits. */
  fetch(request: string): Buffer {
    const socket = this.connect();
    socket.write(Buffer.from(request));
    socket.finish();
    for (let steps = 0; !socket.gone; steps++) {
      if (steps > 1000) throw new Error(`no end of ${request}`);
      socket.settle();
      this.settle();
    }
    return Buffer.concat(socket.received);
  }

  /** Lets caches of the guest learn the whole site, so that later nothing new is kept. */
  warmUp(): void {
    for (const path of allPaths(site)) {
      this.fetch(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    }
    this.clock.advance(AFTERMATH_MS);
    this.settle();
  }

  books(): Books {
    const count = (name: string) => Number(this.machine.call(name));
    return {
      sockets: count("socketCount"),
      threads: count("threadCount"),
      heap: count("heapInUse"),
      blocks: count("heapBlocks"),
      connections: this.vsock.stats.connections,
      opened: this.files.opened,
    };
  }

  /** Lets everybody act in random order until all are done. */
  play(actors: readonly Actor[]): void {
    let active = actors.filter((actor) => !actor.done);
    for (let step = 0; active.length > 0; step++) {
      if (step > STEPS_MAX) throw new Error("somebody is never done");
      const urgent = active.find((actor) => actor.urgentMs(this.nowMs) <= this.nowMs);
      const actor = urgent ?? this.random.any(active);
      this.note(`${actors.indexOf(actor)} ${actor.act()}`);
      if (this.random.chance(0.5)) this.clock.settle();
      else if (this.random.chance(0.2)) this.settle();
      if (this.ended !== "") throw new Error(`the machine ended: ${this.ended}`);
      this.#pass(active);
      active = active.filter((one) => !one.done);
    }
  }

  /** All time-outs pass. */
  aftermath(): void {
    this.settle();
    this.clock.advance(AFTERMATH_MS);
    this.settle();
  }

  /** Faults of the guest or the devices; empty if there are none. */
  faults(): string[] {
    const { registers } = this.machine;
    const counts = registers.flatMap((one) => [
      one.illegalAccesses,
      one.rejectedChains,
      one.brokenQueues,
    ]);
    const wrong = counts.some((count) => count !== 0) ? [`registers: ${counts}`] : [];
    const rejected =
      this.vsock.stats.rejected > 0 ? [`rejected: ${this.vsock.stats.rejected}`] : [];
    return [...this.warnings, ...wrong, ...rejected];
  }

  note(what: string | Uint8Array): void {
    if (typeof what === "string") this.#trace.update(`${this.clock.now()} ${what}\n`);
    else this.#trace.update(what);
  }

  /** A number for all that has happened: times, events, bytes. */
  fingerprint(): string {
    return this.#trace.copy().digest("hex");
  }

  /** Time passes: mostly none, sometimes a lot, never so much that somebody is late. */
  #pass(active: readonly Actor[]): void {
    const chance = this.random.next();
    if (chance < 0.8) return;
    const wished = chance < 0.99 ? this.random.next() * 2 : this.random.below(5000);
    const urgent = Math.min(...active.map((actor) => actor.urgentMs(this.nowMs)));
    const ms = Math.min(wished, Math.max(0, urgent - this.nowMs));
    if (ms > 0) this.clock.advance(ms);
  }
}
