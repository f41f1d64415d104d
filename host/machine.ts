// Machine: one guest on the host's event-loop thread. The guest is entered from host events and
// halts by returning; interrupts wait until it has returned (turns.ts). Machines share nothing.
import { BOOT_INFO_ADDRESS } from "../abi/boot.ts";
import { Bus } from "./bus.ts";
import { Console } from "./console.ts";
import { HostControlBlock } from "./control-block.ts";
import { Ending } from "./ending.ts";
import { Entries } from "./entry.ts";
import { type Exit, exitOf } from "./exit.ts";
import { ThreadFaults } from "./faults.ts";
import type { GuestRequestInit } from "./http/client.ts";
import { LateHttpClient } from "./http/late-client.ts";
import { type GuestExports, globalOf, instantiateImage, writeBootInfo } from "./image.ts";
import { createImports } from "./imports.ts";
import type { MachineInside } from "./inside.ts";
import { layOut } from "./layout.ts";
import { limitLog } from "./log.ts";
import { MachineClock } from "./machine-clock.ts";
import type { GuestMemory } from "./memory.ts";
import type { RegisterFile } from "./mmio.ts";
import type { MachineOptions } from "./options.ts";
import { loadParts, type MachineParts, type Platform } from "./parts.ts";
import { assertDistinct, plugAll } from "./plug.ts";
import { Presence } from "./presence.ts";
import { SnapshotError } from "./snapshot/errors.ts";
import { LateState } from "./snapshot/late-state.ts";
import { hashBy, optionsFor, type RestoreOptions } from "./snapshot/restore.ts";
import type { MachineSaved, Snapshot } from "./snapshot/snapshot.ts";
import { symboliseError } from "./symbols.ts";
import { HostTimePage } from "./time-page.ts";
import { Tracing } from "./trace/tracing.ts";
import { Turns } from "./turns.ts";

export type { MachineOptions } from "./options.ts";

const MEMORY_BYTES_DEFAULT = 64 * 1024 * 1024;
const BUDGET_DEFAULT = 10000;
/** How long a snapshot waits for file requests under way. */
const PATIENCE_MS = 5000;

const enum State {
  Created, // by create()
  Running, // by boot()
  Ended, // by power-off, panic, dispose() or a fault of the host
}

export class Machine implements AsyncDisposable {
  readonly memory: GuestMemory;
  /** Tells the guest that it is to drain, or that its settings have changed. */
  readonly control: HostControlBlock;
  /** For tools that show what goes on in it: insightOf() takes it. */
  readonly inside: MachineInside;
  /** Register files in the order of the devices. They count what the guest did wrong. */
  readonly registers: readonly RegisterFile[];
  /**
   * Resolves when the machine has ended: its devices are disposed, and the console has all that the
   * guest printed, unless dispose() was called. Rejects if host code failed (a device, the
   * console), even while the machine was ending. The guest cannot cause that.
   */
  readonly exited: Promise<Exit>;
  readonly #bus = new Bus();
  readonly #clock: MachineClock;
  readonly #console: Console;
  readonly #time: HostTimePage;
  readonly #turns: Turns;
  readonly #guest: GuestExports;
  readonly #options: MachineOptions;
  readonly #entropy: (into: Uint8Array) => void;
  readonly #saved: LateState;
  readonly #entries: Entries;
  readonly #faults: ThreadFaults;
  readonly #ending = new Ending();
  readonly #tracing = new Tracing();
  readonly #http: LateHttpClient;
  #state = State.Created as State;

  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed if one of them cannot be attached. The image's start
   * function runs, if it has one.
   */
  static async create(options: MachineOptions, platform: Platform): Promise<Machine> {
    return new Machine(await loadParts(options, platform));
  }

  /**
   * A machine that goes on where the snapshot was taken, with devices of the same kinds in the same
   * order. Connections of the saved guest are reset, its listeners stay. It has had its first turn.
   * Rejects with SnapshotError if the snapshot does not fit or is damaged.
   */
  static async restore(
    snapshot: Snapshot,
    options: RestoreOptions,
    platform: Platform,
  ): Promise<Machine> {
    const machine = await Machine.create(optionsFor(snapshot, options), platform);
    machine.start(snapshot);
    return machine;
  }

  protected constructor(parts: MachineParts) {
    const { module, library, options, clock, platform, withAccessLog, insightOf } = parts;
    const { memoryBytes = MEMORY_BYTES_DEFAULT, devices = [], sharedMemory = false } = options;
    const { budget = BUDGET_DEFAULT, trace, log = () => {} } = options;
    this.#options = options;
    const presence = new Presence(options.presence ?? new Int32Array(1));
    this.#clock = new MachineClock(clock);
    this.#http = new LateHttpClient(devices, this.#clock);
    const { entropy = (into: Uint8Array) => library.random(into) } = options;
    this.#entropy = entropy;
    assertDistinct(devices);
    const layout = layOut(memoryBytes, devices, sharedMemory);
    this.memory = layout.memory;
    this.#entries = new Entries(this.memory, presence);
    this.exited = this.#ending.exited;
    this.#time = new HostTimePage(this.memory, this.#clock);
    this.control = new HostControlBlock(this.memory);
    this.#faults = new ThreadFaults(log, this.#clock, options.sourceMap);
    const turns = new Turns({
      bus: this.#bus,
      clock: this.#clock,
      time: this.#time,
      entries: this.#entries,
      presence,
      faults: this.#faults,
      budget,
      isStuffed: () => this.#console.stuffed,
      failed: this.#fail,
      left: () => this.dispose(),
    });
    this.#turns = turns;
    this.#console = new Console({
      print: this.#entries.aside(options.console ?? (() => {})),
      full: this.#onConsole,
      failed: (error) => this.#end(null, error),
    });
    this.inside = {
      ...{ module, memory: this.memory, clock: this.#clock, tracing: this.#tracing },
      guest: () => this.#guest,
      traced: (guest, isOn) => {
        turns.guest = guest;
        this.#time.traceWanted = isOn;
      },
      aside: (sink) => this.#entries.aside(sink),
    };
    const warn = (message: string) => log("warn", "console", message);
    const full = limitLog(warn, () => this.#clock.now(), 1);
    presence.enter();
    try {
      const imports = createImports(library, {
        memory: this.memory,
        bus: this.#bus,
        console: this.#console,
        refused: () => full("nobody reads: the guest has to wait, or loses what it prints"),
        clock: this.#clock,
        realtime: options.clock,
        entropy: options.entropy === undefined ? undefined : this.#entries.aside(entropy),
        presence,
        end: this.#entries.throw,
      });
      const guest = instantiateImage(module, this.memory, imports);
      const timed = options.turnMeter?.guest(guest, this.memory, this.#clock) ?? guest;
      this.#guest = withAccessLog?.(timed, this.memory, this.#clock, options.accessLog) ?? timed;
    } finally {
      presence.leave();
    }
    this.registers = plugAll(devices, {
      bus: this.#bus,
      layout,
      clock: this.#clock,
      tracing: this.#tracing,
      log,
      withheldFeatures: options.withheldFeatures ?? 0n,
      turn: turns.onDevice,
      exhausted: () => turns.defer(),
      late: turns.late,
      failed: (error) => this.#end(null, error),
    });
    turns.guest = this.#guest;
    if (trace !== undefined) insightOf?.(this).trace(trace);
    turns.registers = this.registers;
    this.#saved = new LateState({
      ...{ module, exports: this.#guest.exports, memory: this.memory },
      ...{ clock: this.#clock, time: this.#time, control: this.control },
      console: this.#console,
      registers: this.registers,
      isZero: platform.isZero,
      hash: (bytes) => hashBy(platform, bytes),
    });
  }

  /**
   * Has the guest powered off, panicked, or been disposed of? `exited` may still wait for the
   * reader of its console.
   */
  get ended(): boolean {
    return this.#state === State.Ended;
  }

  /** Times that a thread of the application threw and started again (SysOnFault), since boot. */
  get faults(): number {
    return this.#faults.count;
  }

  /** Thread switches of one entry into the guest: with 1 it runs one thread. null: as at first. */
  set budget(switches: number | null) {
    this.#turns.budget = switches;
  }

  /** Starts the guest, once, and gives it its first turn. Returns when the guest has halted. */
  boot(): void {
    if (this.#state === State.Ended) throw new Error("the machine has ended");
    if (this.#state === State.Running) throw new Error("a machine boots once");
    const parameters = [this.#bus.announcement(), this.#options.parameters ?? ""];
    const commandLine = parameters.filter((part) => part !== "").join(" ");
    const accessLog = this.#options.accessLog !== undefined;
    writeBootInfo(this.memory, commandLine, accessLog);
    this.#state = State.Running;
    this.#turns.start();
    this.#entries.visit(() => {
      this.#turns.prepare();
      this.#time.renew(this.#entropy);
      const { initialize, boot } = this.#turns.guest as GuestExports;
      initialize();
      boot(BOOT_INFO_ADDRESS);
      this.#entries.returned();
    }, this.#fail);
    this.turn();
  }

  /**
   * Saves the machine, which goes on: its memory, its clock, its devices. Waits until file requests
   * under way have ended, up to `patienceMs` (5 s). Rejects with SnapshotError if it cannot be
   * saved, or not now; nothing has changed then.
   */
  async snapshot({ patienceMs = PATIENCE_MS } = {}): Promise<Snapshot> {
    await null; // out of the entry that may be going on
    this.#assertRunning();
    const { state, whileQuiet } = await this.#saved.load();
    this.#assertRunning();
    state.assertSaveable();
    const devices = this.registers.map(({ device }) => device);
    return whileQuiet(devices, this.#clock, patienceMs, () => {
      this.#assertRunning();
      return state.save();
    });
  }

  /**
   * Goes back to the snapshot, which is one of this machine or of another with the same image and
   * devices: the fast way to a fresh machine. All connections end, and what the guest knew is gone.
   * It has had a turn when this returns. The generation is new, unless it is to be kept. Throws
   * SnapshotError if the snapshot does not fit; nothing has changed then.
   */
  rewind(snapshot: Snapshot, { keepGeneration = false } = {}): void {
    this.#assertRunning();
    if (this.#entries.inside) throw new Error("the machine is not idle");
    if (this.#tracing.isOn) throw busy("a machine that is traced does not go back");
    const saved = this.#saved.by(snapshot);
    saved.assertFits(snapshot);
    this.#turns.cancelAlarm();
    this.#http.forget();
    this.#load(saved, snapshot, keepGeneration);
  }

  /** boot(), but from a snapshot. */
  protected start(snapshot: Snapshot): void {
    const saved = this.#saved.by(snapshot);
    try {
      saved.assertFits(snapshot);
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.#load(saved, snapshot, false);
  }

  #load(saved: MachineSaved, snapshot: Snapshot, keepGeneration: boolean): void {
    const isNew = this.#state === State.Created;
    this.#state = State.Running;
    this.#turns.start();
    try {
      saved.load(snapshot, isNew, keepGeneration ? null : this.#entropy);
    } catch (error) {
      this.dispose();
      throw error;
    }
    this.#tracing.tracer?.restored();
    this.#time.traceWanted = this.#tracing.isOn;
    this.turn();
  }

  #assertRunning(): void {
    if (this.#state === State.Created) throw busy("the machine has not booted");
    if (this.#state === State.Ended) throw busy("the machine has ended");
  }

  /**
   * Gives the guest one turn: delivers interrupts and lets it run until it halts, or until its
   * budget is spent, in which case it continues after the host's other events. Inside a turn: one
   * more round. After the end: nothing.
   */
  turn(): void {
    this.#turns.turn();
  }

  /**
   * Calls an exported function of the image, for tools and tests, and then gives the guest a turn.
   * A call that waits must be made by a thread of the guest instead. A panic ends the machine and
   * is thrown, with its stack in AssemblyScript terms.
   */
  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    if (this.#state === State.Ended) throw new Error("the machine has ended");
    const exported = this.#guest.exports[name];
    if (typeof exported !== "function") throw new Error(`image: it exports no ${name}()`);
    if (this.#state !== State.Running || this.#entries.inside)
      throw new Error("the machine is not idle");
    const call = exported as (...args: unknown[]) => number | bigint | undefined;
    let result: number | bigint | undefined;
    const thrown = this.#entries.visit(() => {
      this.#turns.prepare();
      const { isOn, tracer } = this.#tracing;
      const enter = () => call(...args);
      result = (isOn && tracer !== null ? tracer.entry(name, enter) : enter)(undefined);
      this.#entries.returned();
    }, this.#fail);
    this.turn();
    if (thrown !== null) throw symboliseError(thrown.error, this.#options.sourceMap);
    return result;
  }

  /**
   * Sends an HTTP/1.1 request to a port of the guest, 80 by default, within this process; it needs
   * a vsock device, and no address of the host. Bodies are streams, both ways. Rejects with a
   * FetchError, a TypeError whose `code` says why there is no response, or with the reason of the
   * request's signal. Redirects are returned as they are, and nothing is decoded.
   */
  fetch(input: Request | string | URL, init?: GuestRequestInit): Promise<Response> {
    return this.#http.fetch(input, init);
  }

  /** The value of an exported global: a constant, or the address of static memory. */
  global(name: string): number {
    return globalOf(this.#guest, name);
  }

  /**
   * Ends the machine, at once or when the guest has returned. A slow console gets nothing more, not
   * even from a machine that has ended before. Calling it again does nothing.
   */
  dispose(): void {
    if (this.#entries.inside) {
      this.#turns.leave();
    } else {
      this.#end({ kind: "disposed" });
      this.#console.abandon(); // also if the machine had ended before
    }
  }

  /** Threads that print have to wait, or need no longer. */
  readonly #onConsole = (full: boolean): void => {
    if (this.#state === State.Ended) return;
    this.#time.consoleFull = full;
    if (!full) this.#turns.defer();
  };

  /** An exception has ended an entry. */
  readonly #fail = (error: unknown): void => {
    this.#end(exitOf(error, this.#options.sourceMap), error);
  };

  /** Cleans up. A fault of the host, unlike an exit of the guest, comes with a null `exit`. */
  #end(exit: Exit | null, fault?: unknown): void {
    const ending = this.#ending;
    if (exit === null) ending.fault(fault);
    if (this.#state === State.Ended) return;
    this.#state = State.Ended;
    ending.attempt(() => this.#turns.stop());
    const printing = ending.attempt(() => this.#console.finish());
    ending.clean(exit, this.registers, printing);
  }

  /** `await using`: dispose(), and then `exited`. */
  declare [Symbol.asyncDispose]: () => Promise<void>;
}

// Not every engine has the symbol yet.
if (Symbol.asyncDispose !== undefined) {
  Machine.prototype[Symbol.asyncDispose] = async function (this: Machine) {
    this.dispose();
    await this.exited;
  };
}

function busy(fact: string): SnapshotError {
  return new SnapshotError("ERR_SNAPSHOT_BUSY", fact);
}
