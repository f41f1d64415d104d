// How a machine ends, and what is reported of a trap or a panic.
import { PowerOff } from "./firmware.ts";
import { GuestPanic } from "./hypercall.ts";
import { MemoryDetached } from "./memory.ts";
import { innermost, symbolise } from "./symbols.ts";

/** Why the machine ended. */
export type Exit =
  | { readonly kind: "power-off"; readonly code: number }
  | {
      readonly kind: "panic";
      readonly message: string;
      /** AssemblyScript position, or "" and 0 if unknown. */
      readonly file: string;
      readonly line: number;
      readonly column: number;
      /** The guest's frames, innermost first. */
      readonly stack: string;
      readonly code: 70;
    }
  | { readonly kind: "disposed" };

/** The end of a guest by an exception; null: it is a fault of the host. */
export function exitOf(error: unknown, sourceMap: string | undefined): Exit | null {
  if (error instanceof PowerOff) return { kind: "power-off", code: error.code };
  return isPanic(error) ? panicExit(error, sourceMap) : null;
}

/** Did the guest panic or trap? */
function isPanic(error: unknown): boolean {
  return error instanceof GuestPanic || error instanceof MemoryDetached || isTrap(error);
}

/** Did V8 stop the guest? The guest's stack is V8's, so a deep recursion ends as a RangeError. */
function isTrap(error: unknown): boolean {
  if (error instanceof WebAssembly.RuntimeError || error instanceof WebAssembly.Exception) {
    return true;
  }
  return error instanceof RangeError && /call stack/.test(error.message);
}

function panicExit(error: unknown, sourceMap: string | undefined): Exit {
  // An exception of the guest is no Error: it has neither message nor stack.
  const { message, stack: frames = "" } =
    error instanceof Error ? error : { message: "an exception that nobody caught" };
  const stack = symbolise(frames, sourceMap);
  const place = error instanceof GuestPanic && error.file !== "" ? error : innermost(stack);
  const { file = "", line = 0, column = 0 } = place ?? {};
  return { kind: "panic", message, file, line, column, stack, code: 70 };
}

/** The rejection of `exited` when the host failed, alone or while the guest ended. */
export function endWithFaults(exit: Exit | null, faults: readonly unknown[]): unknown {
  if (faults.length === 1 && exit?.kind !== "panic") return faults[0];
  const messages = faults.map((fault) => (fault instanceof Error ? fault.message : String(fault)));
  if (exit?.kind === "panic") messages.unshift(`panic: ${exit.message}`);
  return new AggregateError(faults, messages.join("; "), { cause: exit });
}
