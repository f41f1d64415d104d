// Machine: one guest on the host's event-loop thread. The guest is entered from host events and
// halts by returning; interrupts wait until it has returned. Machines share nothing.
//
// A turn is one visit to the guest: rounds of "deliver interrupts, run threads, let devices handle
// their queues", until nothing is left to do or it is time to look at the host's other events.
import { BOOT_INFO_ADDRESS, RunResult } from "../abi/boot.ts";
import { Alarm } from "./alarm.ts";
import { BUS_IRQ_FIRST, Bus } from "./bus.ts";
import { Console } from "./console.ts";
import { Ending } from "./ending.ts";
import { Entries } from "./entry.ts";
import { type Exit, isPanic, panicExit } from "./exit.ts";
import { ThreadFaults } from "./faults.ts";
import { PowerOff } from "./firmware.ts";
import { type GuestRequestInit, HttpClient } from "./http/client.ts";
import { type GuestExports, instantiateImage, writeBootInfo } from "./image.ts";
import { createImports } from "./imports.ts";
import { layOut } from "./layout.ts";
import { limitLog } from "./log.ts";
import type { GuestMemory } from "./memory.ts";
import type { RegisterFile } from "./mmio.ts";
import type { MachineOptions } from "./options.ts";
import { loadParts, type MachineParts, type Platform } from "./parts.ts";
import { assertDistinct, plugAll } from "./plug.ts";
import type { Clock } from "./ports/clock.ts";
import { Presence } from "./presence.ts";
import { symbolise } from "./symbols.ts";
import { HostTimePage } from "./time-page.ts";
import { Tracer } from "./trace.ts";

export type { MachineOptions } from "./options.ts";

/** Rounds of one turn; then the host looks at its sockets first. */
const ROUNDS_PER_TURN_MAX = 64;
const MEMORY_BYTES_DEFAULT = 64 * 1024 * 1024;
const BUDGET_DEFAULT = 10000;
/** A timer that fires this late was held up by the host. */
const STALLED_NS = 100_000_000;

const enum State {
  Created, // by create()
  Running, // by boot()
  Ended, // by power-off, panic, dispose() or a fault of the host
}

export class Machine implements AsyncDisposable {
  readonly memory: GuestMemory;
  /** Register files in the order of the devices. They count what the guest did wrong. */
  readonly registers: readonly RegisterFile[];
  /**
   * Resolves when the machine has ended: its devices are disposed, and the console has all that the
   * guest printed, unless dispose() was called. Rejects if host code failed (a device, the
   * console), even while the machine was ending. The guest cannot cause that.
   */
  readonly exited: Promise<Exit>;
  readonly #bus = new Bus();
  readonly #clock: Clock;
  readonly #console: Console;
  readonly #time: HostTimePage;
  readonly #alarm: Alarm;
  readonly #guest: GuestExports;
  readonly #options: MachineOptions;
  readonly #budget: number;
  readonly #presence: Presence;
  readonly #tracer: Tracer | null;
  readonly #entries: Entries;
  readonly #faults: ThreadFaults;
  readonly #ending = new Ending();
  readonly #http: HttpClient;
  #state = State.Created as State;
  #again = false; // turn() was called inside
  #isIdle = false; // nothing is left to do in this turn
  #stalled = false; // a device held up the guest: look at sockets before its timers
  #leaving = false; // dispose() was called inside
  #deferred = false;

  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed if one of them cannot be attached. The image's start
   * function runs, if it has one.
   */
  static async create(options: MachineOptions, platform: Platform): Promise<Machine> {
    return new Machine(await loadParts(options, platform));
  }

  protected constructor({ module, library, options, clock }: MachineParts) {
    const { memoryBytes = MEMORY_BYTES_DEFAULT, devices = [], sharedMemory = false } = options;
    const { budget = BUDGET_DEFAULT, trace, log = () => {} } = options;
    if (!(Number.isInteger(budget) && budget > 0)) throw new Error(`budget: ${budget} switches`);
    this.#options = options;
    this.#budget = budget;
    this.#presence = new Presence(options.presence ?? new Int32Array(1));
    this.#clock = clock;
    this.#http = new HttpClient(devices, clock);
    assertDistinct(devices);
    const layout = layOut(memoryBytes, devices, sharedMemory);
    this.memory = layout.memory;
    this.#entries = new Entries(this.memory, this.#presence);
    this.exited = this.#ending.exited;
    this.#time = new HostTimePage(this.memory, this.#clock);
    this.#alarm = new Alarm(this.#clock, this.#time, this.#onAlarm);
    this.#console = new Console({
      print: this.#entries.aside(options.console ?? (() => {})),
      full: this.#onConsole,
      failed: (error) => this.#end(null, error),
    });
    this.#tracer =
      trace === undefined ? null : new Tracer(this.#entries.aside(trace), this.#clock, this.memory);
    const warn = (message: string) => log("warn", "console", message);
    const full = limitLog(warn, () => this.#clock.now(), 1);
    this.#faults = new ThreadFaults(log, this.#clock, options.sourceMap);
    this.#presence.enter();
    try {
      const imports = createImports(library, {
        memory: this.memory,
        bus: this.#bus,
        console: this.#console,
        refused: () => full("nobody reads: the guest has to wait, or loses what it prints"),
        clock,
        firmwareClock: options.clock,
        entropy: options.entropy === undefined ? undefined : this.#entries.aside(options.entropy),
        presence: this.#presence,
        end: this.#entries.throw,
      });
      const guest = instantiateImage(module, this.memory, imports);
      this.#guest = this.#tracer === null ? guest : this.#tracer.guest(guest);
    } finally {
      this.#presence.leave();
    }
    this.registers = plugAll(devices, {
      bus: this.#bus,
      layout,
      clock: this.#clock,
      tracer: this.#tracer,
      log,
      withheldFeatures: options.withheldFeatures ?? 0n,
      turn: this.#onDevice,
      exhausted: () => this.#defer(),
      late: () => {
        this.#time.write();
        this.#stalled = true;
      },
      failed: (error) => this.#end(null, error),
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

  /** Starts the guest, once, and gives it its first turn. Returns when the guest has halted. */
  boot(): void {
    if (this.#state === State.Ended) throw new Error("the machine has ended");
    if (this.#state === State.Running) throw new Error("a machine boots once");
    const parameters = [this.#bus.announcement(), this.#options.parameters ?? ""];
    const commandLine = parameters.filter((part) => part !== "").join(" ");
    writeBootInfo(this.memory, commandLine, this.#tracer !== null);
    this.#state = State.Running;
    this.#entries.visit(() => {
      this.#prepare();
      this.#guest.initialize();
      this.#guest.boot(BOOT_INFO_ADDRESS);
      this.#entries.returned();
    }, this.#fail);
    this.turn();
  }

  /**
   * Gives the guest one turn: delivers interrupts and lets it run until it halts, or until its
   * budget is spent, in which case it continues after the host's other events. Inside a turn: one
   * more round. After the end: nothing.
   */
  turn(): void {
    if (this.#entries.inside) {
      this.#again = true;
      return;
    }
    if (this.#state !== State.Running) return;
    if (this.#console.stuffed && !this.#leaving) return;
    // A line that is still up without acknowledgement is delivered once a turn, not in every round.
    this.#bus.pending |= this.#bus.asserted;
    this.#isIdle = this.#stalled = false;
    this.#entries.visit(this.#rounds, this.#fail);
    if (this.#leaving) this.dispose();
    else if (!this.#isIdle) this.#defer();
  }

  readonly #rounds = (): void => {
    for (let i = 0; i < this.registers.length; i++) (this.registers[i] as RegisterFile).begin();
    for (let round = 0; round < ROUNDS_PER_TURN_MAX && !this.#isIdle; round++) {
      if (this.#leaving || this.#stalled) return;
      this.#again = false;
      const result = this.#enter();
      for (let i = 0; i < this.registers.length; i++) {
        (this.registers[i] as RegisterFile).halted();
      }
      if (result !== RunResult.Halted) return;
      const isDone = this.#bus.pending === 0 && !this.#again && !this.#stalled;
      this.#isIdle = isDone && !this.#alarm.isDue();
    }
  };

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
      this.#prepare();
      result = (this.#tracer?.entry(name, call) ?? call)(...args);
      this.#entries.returned();
    }, this.#fail);
    this.turn();
    if (thrown !== null) throw this.#symbolised(thrown.error);
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
    const exported = this.#guest.exports[name];
    if (!(exported instanceof WebAssembly.Global)) throw new Error(`image: no global ${name}`);
    return Number(exported.value);
  }

  #symbolised(error: unknown): unknown {
    if (error instanceof Error) {
      const stack = symbolise(error.stack ?? "", this.#options.sourceMap);
      error.stack = `${error.name}: ${error.message}\n${stack}`;
    }
    return error;
  }

  /**
   * Ends the machine, at once or when the guest has returned. A slow console gets nothing more, not
   * even from a machine that has ended before. Calling it again does nothing.
   */
  dispose(): void {
    if (this.#entries.inside) {
      this.#leaving = true;
    } else {
      this.#end({ kind: "disposed" });
      this.#console.abandon(); // also if the machine had ended before
    }
  }

  /** One round of the guest: pending interrupts, then threads. */
  #enter(): number {
    const bus = this.#bus;
    this.#prepare();
    while (bus.pending !== 0) {
      const slot = 31 - Math.clz32(bus.pending & -bus.pending);
      bus.pending &= ~(1 << slot);
      this.#guest.interrupt(BUS_IRQ_FIRST + slot);
    }
    const result = this.#faults.run(this.#guest, this.#budget);
    this.#entries.returned();
    return result;
  }

  /** Before each entry. */
  #prepare(): void {
    this.#presence.enter();
    this.#time.write();
  }

  #defer(): void {
    if (this.#deferred || this.#state !== State.Running) return;
    this.#deferred = true;
    this.#clock.defer(this.#onDeferred);
  }

  /**
   * After a stall of the host, its sockets may hold what the guest waits for. They come first, or
   * the guest would report a timeout.
   */
  readonly #onAlarm = (lateNs: number): void => {
    if (lateNs >= STALLED_NS) this.#defer();
    else this.turn();
  };

  readonly #onDeferred = (): void => {
    this.#deferred = false;
    this.turn();
  };

  /** Threads that print have to wait, or need no longer. */
  readonly #onConsole = (full: boolean): void => {
    if (this.#state === State.Ended) return;
    this.#time.consoleFull = full;
    if (!full) this.#defer();
  };

  /**
   * A device has something for the guest. Unless `atOnce`, the turn comes after the other sockets
   * that are ready: one entry serves them all, and their system calls do not evict the guest's code
   * from the caches in between.
   */
  readonly #onDevice = (atOnce = false): void => {
    if (this.#bus.pending === 0 || this.#entries.inside) return;
    if (atOnce) this.turn();
    else this.#defer();
  };

  /** An exception has ended an entry. */
  readonly #fail = (error: unknown): void => {
    if (error instanceof PowerOff) {
      this.#end({ kind: "power-off", code: error.code });
    } else if (isPanic(error)) {
      this.#end(panicExit(error, this.#options.sourceMap));
    } else {
      this.#end(null, error);
    }
  };

  /** Cleans up. A fault of the host, unlike an exit of the guest, comes with a null `exit`. */
  #end(exit: Exit | null, fault?: unknown): void {
    const ending = this.#ending;
    if (exit === null) ending.fault(fault);
    if (this.#state === State.Ended) return;
    this.#state = State.Ended;
    ending.attempt(() => this.#alarm.cancel());
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
