// Machine: one guest on the host's event-loop thread. The guest is entered from host events and
// halts by returning; interrupts wait until it has returned. Nothing here is shared by machines.
import { BOOT_INFO_ADDRESS, RunResult } from "../abi/boot.ts";
import { Alarm } from "./alarm.ts";
import { BUS_IRQ_FIRST, Bus } from "./bus.ts";
import { Console } from "./console.ts";
import { type Exit, endWithFaults, isPanic, panicExit } from "./exit.ts";
import { PowerOff } from "./firmware.ts";
import { assertDistinct } from "./identity.ts";
import { compileImage, type GuestExports, instantiateImage, writeBootInfo } from "./image.ts";
import { createImports } from "./imports.ts";
import { layOut } from "./layout.ts";
import { limitLog } from "./log.ts";
import type { GuestMemory } from "./memory.ts";
import type { RegisterFile } from "./mmio.ts";
import type { MachineOptions } from "./options.ts";
import { plugAll } from "./plug.ts";
import type { Clock } from "./ports/clock.ts";
import type { FirmwareLibrary } from "./ports/firmware.ts";
import { Presence } from "./presence.ts";
import { symbolise } from "./symbols.ts";
import { HostTimePage } from "./time-page.ts";
import { Tracer } from "./trace.ts";

export type { MachineOptions } from "./options.ts";

/** Entries into the guest in one turn; then the host looks at its sockets first. */
const ROUNDS_PER_TURN_MAX = 64;
const MEMORY_BYTES_DEFAULT = 64 * 1024 * 1024;
const BUDGET_DEFAULT = 10000;
/** A timer that fires so late has been kept by the host. */
const STALLED_NS = 100_000_000;

const enum State {
  Created, // by create()
  Running, // by boot()
  Ended, // by power-off, panic, dispose() or a fault of the host
}

/** What a machine takes from the host it runs on. */
export interface Platform {
  /** For machines without a clock of their own. */
  readonly clock: Clock;
  /** Called for each machine: the library may be loaded on first use. */
  loadFirmware(): Promise<FirmwareLibrary>;
}

/** What a machine is made of, loaded. */
export interface MachineParts {
  readonly module: WebAssembly.Module;
  readonly library: FirmwareLibrary;
  readonly options: MachineOptions;
  readonly clock: Clock;
}

export async function loadParts(
  options: MachineOptions,
  platform: Platform,
): Promise<MachineParts> {
  const loading = [compileImage(options.image), platform.loadFirmware()] as const;
  const [module, library] = await Promise.all(loading);
  return { module, library, options, clock: options.clock ?? platform.clock };
}

export class Machine {
  readonly memory: GuestMemory;
  /** Register files in the order of the devices; their counters tell what the guest did wrong. */
  readonly registers: readonly RegisterFile[];
  /**
   * Resolves once, when the machine has ended; its devices are disposed by then, and the console
   * has all that the guest printed, unless dispose() was called. Rejects when code of the host
   * failed, which is never the guest's doing: of a device or the console, also while it ended.
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
  #resolve: (exit: Exit) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #state = State.Created as State;
  #inside = false;
  #again = false;
  #stalled = false; // a device has held up the guest: sockets are looked at before its timers
  #leaving = false; // dispose() was called inside
  readonly #faults: unknown[] = []; // of the host
  #thrown: { readonly error: unknown } | null = null; // through the guest, which may have caught it
  #deferred = false;

  /**
   * Compiles the image and plugs the devices in. Throws an Error that says what does not fit; the
   * devices are as they were then, or disposed where one of them cannot be attached. The image's
   * start function runs, if it has one.
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
    assertDistinct(devices);
    const layout = layOut(memoryBytes, devices, sharedMemory);
    this.memory = layout.memory;
    this.#time = new HostTimePage(this.memory, this.#clock);
    this.#alarm = new Alarm(this.#clock, this.#time, this.#onAlarm);
    this.#console = new Console({
      print: this.#aside(options.console ?? (() => {})),
      full: this.#onConsole,
      failed: (error) => this.#end(null, error),
    });
    this.#tracer =
      trace === undefined ? null : new Tracer(this.#aside(trace), this.#clock, this.memory);
    const warn = (message: string) => log("warn", "console", message);
    const full = limitLog(warn, () => this.#clock.now(), 1);
    this.#presence.enter();
    try {
      const imports = createImports(library, {
        memory: this.memory,
        bus: this.#bus,
        console: this.#console,
        refused: () => full("nobody reads: the guest has to wait, or loses what it prints"),
        clock,
        firmwareClock: options.clock,
        entropy: options.entropy === undefined ? undefined : this.#aside(options.entropy),
        presence: this.#presence,
        end: this.#throw,
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
    this.exited = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.exited.catch(() => {}); // nobody has to listen: other machines go on
  }

  /** Work of the host inside an entry, which the watchdog does not count. */
  #aside<T, Result>(work: (it: T) => Result): (it: T) => Result {
    return (it) => {
      const entry = this.#presence.pause();
      try {
        return work(it);
      } catch (error) {
        return this.#throw(error);
      } finally {
        this.#presence.resume(entry);
      }
    };
  }

  /** Ends the entry: a guest that can catch what goes through it is stopped when it returns. */
  readonly #throw = (error: unknown): never => {
    this.#thrown ??= { error };
    throw error;
  };

  /** Whenever the guest has returned, before anybody looks at its memory. */
  #returned(): void {
    this.memory.assertAttached();
    if (this.#thrown !== null) throw this.#thrown.error;
  }

  /**
   * Has the guest powered off, panicked, or been disposed of? `exited` may still wait for whoever
   * reads its console.
   */
  get ended(): boolean {
    return this.#state === State.Ended;
  }

  /** Starts the guest and gives it its first turn. Once. Returns when the guest has halted. */
  boot(): void {
    if (this.#state === State.Ended) throw new Error("the machine has ended");
    if (this.#state === State.Running) throw new Error("a machine boots once");
    const parameters = [this.#bus.announcement(), this.#options.parameters ?? ""];
    const commandLine = parameters.filter((part) => part !== "").join(" ");
    writeBootInfo(this.memory, commandLine, this.#tracer !== null);
    this.#state = State.Running;
    this.#inside = true;
    try {
      this.#prepare();
      this.#guest.initialize();
      this.#guest.boot(BOOT_INFO_ADDRESS);
      this.#returned();
    } catch (error) {
      this.#fail(error);
    }
    this.#presence.leave();
    this.#inside = false;
    this.turn();
  }

  /**
   * Gives the guest one turn: delivers interrupts and lets it run until it halts, or until its
   * budget is spent, in which case it goes on after the host's other events. Inside a turn: one
   * more round. After the end: nothing.
   */
  turn(): void {
    if (this.#inside) {
      this.#again = true;
      return;
    }
    if (this.#state !== State.Running) return;
    if (this.#console.stuffed && !this.#leaving) return;
    this.#inside = true;
    // A line that stayed up without acknowledgement is delivered once a turn, not in a circle.
    this.#bus.pending |= this.#bus.asserted;
    let halted = false;
    this.#stalled = false;
    try {
      for (let i = 0; i < this.registers.length; i++) (this.registers[i] as RegisterFile).begin();
      for (let round = 0; round < ROUNDS_PER_TURN_MAX && !halted; round++) {
        if (this.#leaving || this.#stalled) break;
        this.#again = false;
        const result = this.#enter();
        for (let i = 0; i < this.registers.length; i++) {
          (this.registers[i] as RegisterFile).halted();
        }
        if (result !== RunResult.Halted) break;
        const idle = this.#bus.pending === 0 && !this.#again && !this.#stalled;
        halted = idle && !this.#alarm.isDue();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#presence.leave();
    this.#inside = false;
    if (this.#leaving) this.dispose();
    else if (!halted) this.#defer();
  }

  /**
   * Calls an exported function of the image, as tools and tests do with the kernel's public calls,
   * and then gives the guest a turn. Calls that wait must be made by a thread of the guest. A panic
   * ends the machine and is thrown, its stack in AssemblyScript terms.
   */
  call(name: string, ...args: (number | bigint)[]): number | bigint | undefined {
    if (this.#state === State.Ended) throw new Error("the machine has ended");
    const exported = this.#guest.exports[name];
    if (typeof exported !== "function") throw new Error(`image: it exports no ${name}()`);
    if (this.#state !== State.Running || this.#inside) throw new Error("the machine is not idle");
    this.#inside = true;
    try {
      this.#prepare();
      const call = exported as (...args: unknown[]) => number | bigint | undefined;
      const result = (this.#tracer?.entry(name, call) ?? call)(...args);
      this.#returned();
      return result;
    } catch (error) {
      this.#fail(error);
      throw this.#symbolised(error);
    } finally {
      this.#presence.leave();
      this.#inside = false;
      this.turn();
    }
  }

  /** The value of an exported global: of a constant, or the address of static memory. */
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
   * Ends the machine, at once or when the guest has returned. Of one that has ended it takes what a
   * slow console has still to come. More than once does nothing.
   */
  dispose(): void {
    if (this.#inside) {
      this.#leaving = true;
    } else {
      this.#end({ kind: "disposed" });
      this.#console.abandon(); // of a machine that had ended before, too
    }
  }

  /** One entry: the time, the pending interrupts, the threads. */
  #enter(): number {
    const bus = this.#bus;
    this.#prepare();
    while (bus.pending !== 0) {
      const slot = 31 - Math.clz32(bus.pending & -bus.pending);
      bus.pending &= ~(1 << slot);
      this.#guest.interrupt(BUS_IRQ_FIRST + slot);
    }
    const result = this.#guest.run(this.#budget);
    this.#returned();
    return result;
  }

  /** Before each entry: the heartbeat and the time page. */
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
   * Behind a stall of the host its sockets may have what the guest waits for: they come first, or
   * it would say that there was nothing.
   */
  readonly #onAlarm = (lateNs: number): void => {
    if (lateNs >= STALLED_NS) this.#defer();
    else this.turn();
  };

  readonly #onDeferred = (): void => {
    this.#deferred = false;
    this.turn();
  };

  /** Those who print wait, or wait no more. */
  readonly #onConsole = (full: boolean): void => {
    if (this.#state === State.Ended) return;
    this.#time.consoleFull = full;
    if (!full) this.#defer();
  };

  /**
   * A device has something for the guest: behind the other sockets that are ready, since one entry
   * serves them all, and the system calls of one do not make the guest's code cold for the next.
   */
  readonly #onDevice = (atOnce = false): void => {
    if (this.#bus.pending === 0 || this.#inside) return;
    if (atOnce) this.turn();
    else this.#defer();
  };

  #fail(error: unknown): void {
    if (error instanceof PowerOff) {
      this.#end({ kind: "power-off", code: error.code });
    } else if (isPanic(error)) {
      this.#end(panicExit(error, this.#options.sourceMap));
    } else {
      this.#end(null, error);
    }
  }

  /** What fails on the way is told at the end of it. */
  #end(exit: Exit | null, fault?: unknown): void {
    if (exit === null) this.#faults.push(fault);
    if (this.#state === State.Ended) return;
    this.#state = State.Ended;
    const attempt = <Result>(work: () => Result): Result | null => {
      try {
        return work();
      } catch (error) {
        this.#faults.push(error);
        return null;
      }
    };
    attempt(() => this.#alarm.cancel());
    const printing = attempt(() => this.#console.finish());
    if (exit?.kind === "power-off") {
      // What the guest had handed over before it went is still sent.
      for (const registers of this.registers) {
        attempt(() => {
          registers.begin();
          registers.halted();
        });
      }
    }
    for (const { device } of this.registers) attempt(() => device.dispose());
    const settle = () => {
      if (this.#faults.length > 0) this.#reject(endWithFaults(exit, this.#faults));
      else this.#resolve(exit as Exit);
    };
    if (printing === null) settle();
    else printing.then(settle, settle);
  }
}
