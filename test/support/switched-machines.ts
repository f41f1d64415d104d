// Machines of one switch, whose clock the test cranks: guests that reach each other by CID.
import { afterEach } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import type { VsockDevice, VsockOptions } from "../../host/node/devices.ts";
import { VsockSwitch } from "../../host/node/devices.ts";
import { compileGuest } from "./guest.ts";
import { BothHalves } from "./kernel-and-devices.ts";

const image = await compileGuest("test/guest/client.ts");
const ROUNDS_MAX = 100_000;
const fleets: Fleet[] = [];

afterEach(() => {
  for (const fleet of fleets.splice(0)) fleet.dispose();
});

/** Machines on one switch. */
export class Fleet {
  readonly clock = new ManualClock();
  readonly network = new VsockSwitch(this.clock);
  readonly machines: BothHalves[] = [];

  constructor() {
    fleets.push(this);
  }

  async boot(cid: number, vsock: VsockOptions = {}): Promise<Guest> {
    const halves = await BothHalves.boot(image, { vsock: { cid, switch: this.network, ...vsock } });
    this.machines.push(halves);
    return new Guest(this, halves, cid);
  }

  /** Everything happens that needs no time. */
  settle(): void {
    for (let rounds = 0; this.step(); rounds++) {
      if (rounds > ROUNDS_MAX) throw new Error("the guests never come to rest");
    }
  }

  /** One round of it; false: nothing happened. */
  step(): boolean {
    let happened = this.clock.settle();
    for (const { clock } of this.machines) happened += clock.settle();
    return happened > 0;
  }

  advance(ms: number): void {
    for (const { clock } of this.machines) clock.advance(ms);
    this.settle();
  }

  faults(): number {
    return this.machines.reduce((sum, one) => sum + one.faults(), 0);
  }

  dispose(): void {
    for (const machine of this.machines) machine.dispose();
  }
}

type Op = Parameters<BothHalves["start"]>[0];

export class Guest {
  readonly halves: BothHalves;
  readonly cid: number;
  readonly #fleet: Fleet;

  constructor(fleet: Fleet, halves: BothHalves, cid: number) {
    this.#fleet = fleet;
    this.halves = halves;
    this.cid = cid;
  }

  get vsock(): VsockDevice {
    return this.halves.vsock;
  }

  call(name: string, ...args: number[]): number {
    const result = this.halves.call(name, ...args);
    this.#fleet.settle();
    return result;
  }

  /** A call that may yield; asks for its result. */
  start(op: Op, ...args: number[]): () => number | undefined {
    const result = this.halves.start(op, ...args);
    this.#fleet.settle();
    return result;
  }

  listen(port: number, type = 1): number {
    const listener = this.call("SysSocket", type);
    this.call("SysSocketBind", listener, port);
    this.call("SysSocketListen", listener, 8);
    return listener;
  }

  /** A socket, and what its connect says. */
  connect(cid: number, port: number, type = 1): [number, number | undefined] {
    const socket = this.call("SysSocket", type);
    return [socket, this.start("connect", socket, cid, port)()];
  }

  allocate(bytes: number): number {
    const at = this.call("ToroGetMem", bytes);
    if (at === 0) throw new Error("the guest has no memory");
    return at;
  }

  put(bytes: Uint8Array): number {
    const at = this.allocate(bytes.length);
    this.bytes(at, bytes.length).set(bytes);
    return at;
  }

  send(socket: number, bytes: Uint8Array): () => number | undefined {
    return this.start("send", socket, this.put(bytes), bytes.length);
  }

  bytes(at: number, length: number): Uint8Array {
    return this.halves.machine.memory.bytes(at, length);
  }

  /** Reads `room` bytes, or until the end or an error, which is returned; it must not wait. */
  read(socket: number, room: number): { bytes: Buffer; end: number | undefined } {
    const at = this.allocate(room);
    let got = 0;
    let end: number | undefined;
    while (got < room && end === undefined) {
      const n = this.start("recv", socket, at + got, room - got)();
      if (n === undefined) throw new Error(`${got} of ${room} bytes came`);
      if (n > 0) got += n;
      else end = n;
    }
    const bytes = Buffer.from(this.bytes(at, got));
    this.call("ToroFreeMem", at);
    return { bytes, end };
  }
}

export interface Link {
  fleet: Fleet;
  a: Guest;
  b: Guest;
  /** The socket that connected, in a, and the one that accepted, in b. */
  near: number;
  far: number;
}

/** Guest 3 is connected to port 80 of guest 4. */
export async function linked(a?: VsockOptions, b?: VsockOptions, type = 1): Promise<Link> {
  const fleet = new Fleet();
  const link = { fleet, a: await fleet.boot(3, a), b: await fleet.boot(4, b), near: 0, far: 0 };
  const listener = link.b.listen(80, type);
  const [near, connected] = link.a.connect(4, 80, type);
  link.near = near;
  link.far = link.b.start("accept", listener)() ?? -1;
  if (connected !== 0 || link.far < 0) throw new Error("the guests are not connected");
  return link;
}
