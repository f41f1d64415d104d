// How a machine ends, and how a trap or a panic of its guest is told.
import { GuestPanic } from "./hypercall.ts";
import { innermost, symbolise } from "./symbols.ts";

/** Why the machine is no more. */
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

/** Did V8 stop the guest? The guest's stack is V8's, so a deep recursion ends as a RangeError. */
export function isTrap(error: unknown): error is Error {
  if (error instanceof WebAssembly.RuntimeError) return true;
  return error instanceof RangeError && /call stack/.test(error.message);
}

export function panicExit(error: Error, sourceMap: string | undefined): Exit {
  const stack = symbolise(error.stack ?? "", sourceMap);
  const place = error instanceof GuestPanic && error.file !== "" ? error : innermost(stack);
  const { file = "", line = 0, column = 0 } = place ?? {};
  return { kind: "panic", message: error.message, file, line, column, stack, code: 70 };
}
