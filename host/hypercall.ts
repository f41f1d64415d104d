// The host's half of kernel/hypercall.ts, which is the contract. Numbers arrive as i32 and are
// converted to unsigned here, once.
import type * as Hypercall from "../kernel/hypercall.ts";
import type { Bus } from "./bus.ts";
import { type GuestMemory, u32 } from "./memory.ts";
import type { Clock } from "./ports/clock.ts";
import { sourceName } from "./symbols.ts";

/** Frames that the stack of a panic keeps; V8's default is ten. */
const PANIC_FRAMES_MAX = 50;
/** Other engines ignore the limit. */
const v8Error = Error as ErrorConstructor & { stackTraceLimit: number };

/** The guest panicked: a failed assertion, or an error of its own. Thrown through the guest. */
export class GuestPanic extends Error {
  override name = "GuestPanic";
  readonly file: string;
  readonly line: number;
  readonly column: number;

  constructor(message: string, file: string, line: number, column: number) {
    const limit = v8Error.stackTraceLimit;
    v8Error.stackTraceLimit = PANIC_FRAMES_MAX;
    super(message);
    v8Error.stackTraceLimit = limit;
    this.file = file;
    this.line = line;
    this.column = column;
  }
}

/**
 * The application threw in a thread that can start again; nothing else is wrong with the guest.
 * Thrown through the guest to its run(), whose frames are discarded.
 */
export class GuestFault extends GuestPanic {
  override name = "GuestFault";
}

/** `end` throws a panic through the guest. */
export function createHypercalls(
  bus: Bus,
  memory: GuestMemory,
  clock: Clock,
  end: (panic: GuestPanic) => never,
): typeof Hypercall {
  const text = (address: number) => memory.string(address);
  return {
    mmioRead: (address, bytes) => bus.read(u32(address), bytes),
    mmioWrite: (address, bytes, value) => bus.write(u32(address), bytes, u32(value)),
    clock: () => BigInt(Math.floor(clock.now())),
    panic(message, file, line, column): never {
      memory.assertAttached();
      end(new GuestPanic(text(message) || "panic", sourceName(text(file)), u32(line), u32(column)));
    },
    fault(message, file, line, column): never {
      memory.assertAttached();
      const source = sourceName(text(file));
      throw new GuestFault(text(message) || "fault", source, u32(line), u32(column));
    },
  };
}
