// Machine: one guest on the host's event-loop thread. The guest is entered from host events and
// halts by returning; interrupts wait until it has returned. Nothing here is shared by machines.
import { BOOT_INFO_ADDRESS, RunResult, TIME_PAGE_ADDRESS, TimePage } from "../drivers/abi/boot.ts";
import { BUS_IRQ_FIRST, Bus } from "./bus.ts";
import { type Clock, systemClock } from "./clock.ts";
import type { VirtioDevice } from "./device.ts";
import { type Exit, isTrap, panicExit } from "./exit.ts";
import { Firmware, loadFirmware, PowerOff } from "./firmware.ts";
import { createHypercalls, GuestPanic } from "./hypercall.ts";
import { compileImage, type GuestExports, instantiateImage, writeBootInfo } from "./image.ts";
import { type Layout, layOut } from "./layout.ts";
import { type Log, limitLog } from "./log.ts";
import type { GuestMemory } from "./memory.ts";
import { RegisterFile } from "./mmio.ts";
import { symbolise } from "./symbols.ts";
import { Tracer, type TraceSink } from "./trace.ts";

export interface MachineOptions {
  /** The guest: its bytes, or the module if several machines share it. */
  readonly image: BufferSource | WebAssembly.Module;
  /** Source map of the image, as text: panics then show AssemblyScript positions. */
  readonly sourceMap?: string | undefined;
  /**
   * RAM, a multiple of 64 KiB; it never grows. Default 64 MiB. Shared memory regions of devices lie
   * behind it, below 4 GiB.
   */
  readonly memoryBytes?: number;
  /** RAM in a SharedArrayBuffer. Slower copies; meant for SMP. */
  readonly sharedMemory?: boolean;
  /** Kernel and application parameters, separated by spaces. The devices are announced before. */
  readonly parameters?: string;
  /** Plugged in this order. A device belongs to one machine. */
  readonly devices?: readonly VirtioDevice[];
  /** Default: the system's. With one of its own a machine's RTC follows it, too. */
  readonly clock?: Clock;
  /** Fills the array with random bytes. Default: the system's entropy. */
  readonly entropy?: (into: Uint8Array) => void;
  /**
   * Feature bits that no device offers: rings without INDIRECT_DESC or EVENT_IDX. Default: none.
   */
  readonly withheldFeatures?: bigint;
  /** Takes the guest's console, by whole lines. Default: dropped. */
  readonly console?: (text: string) => void;
  readonly log?: Log;
  /** Thread switches before the guest must return to the event loop. Default 10000. */
  readonly budget?: number;
  /**
   * Word 0 tells a watchdog which entry into the guest is going on; 0: none, or the host is at work
   * inside it. A reader of the console or a disk may be slow, which is not the guest's fault.
   */
  readonly presence?: Int32Array;
  /**
   * Takes what the machine does, event by event: runs of threads, entries into the guest, kicks,
   * interrupts, packets, file requests. JsonTrace writes them for Perfetto. Default: nobody, and
   * then the guest notes nothing either.
   */
  readonly trace?: TraceSink | undefined;
}

/** Entries into the guest in one turn; then the host looks at its sockets first. */
const ROUNDS_PER_TURN_MAX = 64;
const LOG_LINES_PER_SECOND = 5;
const MEMORY_BYTES_DEFAULT = 64 * 1024 * 1024;
const TWO_32 = 4294967296;
/** A timer that fires so late has been kept by the host. */
const STALLED_NS = 100_000_000;
const NO_TIMER = Number.POSITIVE_INFINITY;

const enum State {
  Created, // by create()
  Running, // by boot()
  Ended, // by power-off, panic, dispose() or a fault of the host
}

export class Machine {
  readonly memory: GuestMemory;
  /** Register files in the order of the devices; their counters tell what the guest did wrong. */
  readonly registers: readonly RegisterFile[];
  /**
   * Resolves once, when the machine has ended; its devices are disposed by then. Rejects when the
   * host's own code failed, which is never the guest's doing.
   */
  readonly exited: Promise<Exit>;
  readonly #bus = new Bus();
  readonly #clock: Clock;
  readonly #firmware: Firmware;
  readonly #guest: GuestExports;
  readonly #options: MachineOptions;
  readonly #budget: number;
  readonly #presence: Int32Array;
  readonly #tracer: Tracer | null;
  #resolve: (exit: Exit) => void = () => {};
  #reject: (error: unknown) => void = () => {};
  #state = State.Created as State;
  #inside = false;
  #again = false;
  #stalled = false; // a device has held up the guest: sockets are looked at before its timers
  #leaving = false; // dispose() was called inside
  #deferred = false;
  #entries = 0;
  #timerNs = NO_TIMER; // when the host's timer fires; the guest may want it later by now
  #cancelTimer: () => void = () => {};

  /** Compiles the image and plugs the devices in. Throws an Error that says what does not fit. */
  static async create(options: MachineOptions): Promise<Machine> {
    const [module] = await Promise.all([compileImage(options.image), loadFirmware()]);
    return new Machine(module, options);
  }

  private constructor(module: WebAssembly.Module, options: MachineOptions) {
    this.#options = options;
    this.#budget = options.budget ?? 10000;
    this.#presence = options.presence ?? new Int32Array(1);
    this.#clock = options.clock ?? systemClock;
    const { memoryBytes = MEMORY_BYTES_DEFAULT, devices = [], sharedMemory = false } = options;
    const layout = layOut(memoryBytes, devices, sharedMemory);
    this.memory = layout.memory;
    const { clock, entropy, console: print = () => {}, trace } = options;
    const presence = this.#presence;
    const aside =
      <T>(work: (it: T) => void) =>
      (it: T) => {
        const entry = presence[0] as number;
        presence[0] = 0;
        work(it);
        presence[0] = entry;
      };
    const console = aside(print);
    const { memory } = this;
    this.#tracer = trace === undefined ? null : new Tracer(aside(trace), this.#clock, memory);
    this.#firmware = new Firmware(module, { memory: this.memory, console, clock, entropy });
    const hypercall = createHypercalls(this.#bus, this.memory, this.#clock);
    const guest = instantiateImage(module, this.memory, {
      ...this.#firmware.imports,
      hypercall: {
        ...hypercall,
        mmioWrite: (address: number, bytes: number, value: number) => {
          const entry = presence[0] as number;
          presence[0] = 0;
          hypercall.mmioWrite(address, bytes, value);
          presence[0] = entry;
        },
      },
    });
    this.#firmware.attach(guest.instance);
    this.#guest = this.#tracer === null ? guest : this.#tracer.guest(guest);
    const log = options.log ?? (() => {});
    this.registers = devices.map((device) => this.#plug(device, layout, log));
    this.exited = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Starts the guest and gives it its first turn. Once. Returns when the guest has halted. */
  boot(): void {
    if (this.#state !== State.Created) throw new Error("a machine boots once");
    const parameters = [this.#bus.announcement(), this.#options.parameters ?? ""];
    const commandLine = parameters.filter((part) => part !== "").join(" ");
    writeBootInfo(this.memory, commandLine, this.#tracer !== null);
    this.#state = State.Running;
    this.#inside = true;
    try {
      this.#prepare();
      this.#guest.initialize();
      this.#guest.boot(BOOT_INFO_ADDRESS);
    } catch (error) {
      this.#fail(error);
    }
    this.#presence[0] = 0;
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
    this.#inside = true;
    // A line that stayed up without acknowledgement is delivered once a turn, not in a circle.
    this.#bus.pending |= this.#bus.asserted;
    let halted = false;
    this.#stalled = false;
    try {
      for (let round = 0; round < ROUNDS_PER_TURN_MAX && !halted; round++) {
        if (this.#leaving || this.#stalled) break;
        this.#again = false;
        const result = this.#enter();
        for (let i = 0; i < this.registers.length; i++) {
          (this.registers[i] as RegisterFile).halted();
        }
        if (result !== RunResult.Halted) break;
        const idle = this.#bus.pending === 0 && !this.#again && !this.#stalled;
        halted = idle && !this.#timerIsDue();
      }
    } catch (error) {
      this.#fail(error);
    }
    this.#presence[0] = 0;
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
    const exported = this.#guest.instance.exports[name];
    if (typeof exported !== "function") throw new Error(`image: it exports no ${name}()`);
    if (this.#state !== State.Running || this.#inside) throw new Error("the machine is not idle");
    this.#inside = true;
    try {
      this.#prepare();
      const call = exported as (...args: unknown[]) => number | bigint | undefined;
      return (this.#tracer?.entry(name, call) ?? call)(...args);
    } catch (error) {
      this.#fail(error);
      throw this.#symbolised(error);
    } finally {
      this.#presence[0] = 0;
      this.#inside = false;
      this.turn();
    }
  }

  /** The value of an exported global: of a constant, or the address of static memory. */
  global(name: string): number {
    const exported = this.#guest.instance.exports[name];
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

  /** Ends the machine, at once or when the guest has returned. More than once does nothing. */
  dispose(): void {
    if (this.#inside) this.#leaving = true;
    else this.#end({ kind: "disposed" });
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
    return this.#guest.run(this.#budget);
  }

  /** Before each entry: the heartbeat and the time page. */
  #prepare(): void {
    this.#entries = (this.#entries % 0x7fffffff) + 1;
    this.#presence[0] = this.#entries;
    this.#setTime();
  }

  readonly #setTime = (): void => {
    const ns = this.#clock.now();
    // Storing a double as u32 keeps its low 32 bits.
    const at = TIME_PAGE_ADDRESS + TimePage.monotonicNs;
    this.memory.view.setUint32(at, ns, true);
    this.memory.view.setUint32(at + 4, ns / TWO_32, true);
  };

  /** When the guest wants to be woken, in nanoseconds of the clock. */
  #nextTimerNs(): number {
    const at = TIME_PAGE_ADDRESS + TimePage.nextTimerNs;
    const high = this.memory.view.getUint32(at + 4, true);
    if (high === 0xffffffff) return NO_TIMER;
    return high * TWO_32 + this.memory.view.getUint32(at, true);
  }

  /** Has the guest halted past its own timer? Arms the host's timer if not. */
  #timerIsDue(): boolean {
    const wantedNs = this.#nextTimerNs();
    // A timer that fires too early costs one look; arming one in every turn would cost more.
    if (wantedNs >= this.#timerNs) return false;
    const nowNs = this.#clock.now();
    if (wantedNs <= nowNs) return true;
    this.#arm(wantedNs, nowNs);
    return false;
  }

  #arm(wantedNs: number, nowNs: number): void {
    this.#cancelTimer();
    this.#timerNs = wantedNs;
    this.#cancelTimer = this.#clock.after(Math.ceil((wantedNs - nowNs) / 1e6), this.#onTimer);
  }

  readonly #onTimer = (): void => {
    this.#timerNs = NO_TIMER;
    this.#cancelTimer = () => {};
    if (this.#state !== State.Running) return;
    const wantedNs = this.#nextTimerNs();
    const nowNs = this.#clock.now();
    // Behind a stall of the host its sockets may have what the guest waits for: they come first, or
    // it would say that there was nothing.
    if (wantedNs <= nowNs - STALLED_NS) this.#defer();
    else if (wantedNs <= nowNs) this.turn();
    else if (wantedNs !== NO_TIMER) this.#arm(wantedNs, nowNs);
  };

  #defer(): void {
    if (this.#deferred || this.#state !== State.Running) return;
    this.#deferred = true;
    this.#clock.defer(this.#onDeferred);
  }

  readonly #onDeferred = (): void => {
    this.#deferred = false;
    this.turn();
  };

  #plug(device: VirtioDevice, layout: Layout, log: Log): RegisterFile {
    const regions = layout.regions.get(device) ?? [];
    const bus = this.#bus;
    const track = this.#tracer?.device(device);
    const now = () => this.#clock.now();
    const write = (message: string) => log("warn", device.name, message);
    const registers: RegisterFile = new RegisterFile(device, {
      memory: this.memory,
      regions,
      raise: () => {
        track?.interrupted(BUS_IRQ_FIRST + slot);
        bus.raise(slot);
      },
      lower: () => bus.lower(slot),
      log: limitLog(write, now, LOG_LINES_PER_SECOND),
      withheld: this.#options.withheldFeatures ?? 0n,
      kicked: track?.kicked,
    });
    const slot = bus.plug(registers);
    device.attach({
      memory: this.memory,
      sharedMemory: regions.map(({ base }) => base),
      // Behind the other sockets that are ready: one entry serves them all, and the system calls of
      // one do not make the guest's code cold for the next.
      turn: (atOnce = false) => {
        if (bus.pending === 0 || this.#inside) return;
        if (atOnce) this.turn();
        else this.#defer();
      },
      now,
      after: (ms, callback) => this.#clock.after(ms, callback),
      late: () => {
        this.#setTime();
        this.#stalled = true;
      },
      log: (message) => log("info", device.name, message),
      trace: track?.told,
    });
    return registers;
  }

  #fail(error: unknown): void {
    if (error instanceof PowerOff) {
      this.#end({ kind: "power-off", code: error.code });
    } else if (error instanceof GuestPanic || isTrap(error)) {
      this.#end(panicExit(error, this.#options.sourceMap));
    } else {
      this.#end(null, error);
    }
  }

  #end(exit: Exit | null, fault?: unknown): void {
    if (this.#state === State.Ended) return;
    this.#state = State.Ended;
    this.#cancelTimer();
    this.#firmware.flush();
    if (exit?.kind === "power-off") {
      // What the guest had handed over before it went is still sent.
      for (const registers of this.registers) registers.halted();
    }
    for (const { device } of this.registers) device.dispose();
    if (exit !== null) this.#resolve(exit);
    else this.#reject(fault);
  }
}
