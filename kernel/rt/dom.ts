// Takes the place of asc's "bindings/dom": what its standard library would import from JavaScript
// comes from the kernel (kernel/std.ts).
import {
  monotonicMs,
  printLine,
  randomBytes,
  wallClockMs,
} from "torito/kernel/std";

export namespace console {
  export function assert(condition: bool, message: string): void {
    if (!condition) printLine("Assertion failed: " + message);
  }
  export function log(message: string): void { printLine(message); }
  export function debug(message: string): void { printLine(message); }
  export function info(message: string): void { printLine(message); }
  export function warn(message: string): void { printLine(message); }
  export function error(message: string): void { printLine(message); }
  export function time(label: string): void { ERROR("console.time: use performance.now()"); }
  export function timeLog(label: string): void { ERROR("console.time: use performance.now()"); }
  export function timeEnd(label: string): void { ERROR("console.time: use performance.now()"); }
}
export namespace performance {
  export function now(): f64 { return monotonicMs(); }
}
export namespace Date {
  export function now(): f64 { return wallClockMs(); }
}
export namespace crypto {
  export function getRandomValues(array: Uint8Array): void {
    randomBytes(array.dataStart, <u32>array.length);
  }
}
export namespace Math {
  export function random(): f64 {
    ERROR("JSMath: there is no JavaScript below a guest; use Math");
    return 0;
  }
}

/** asc's trace(): a line with the message and the first `count` numbers. */
export function trace(
  message: string,
  count: i32 = 0,
  a: f64 = 0,
  b: f64 = 0,
  c: f64 = 0,
  d: f64 = 0,
  e: f64 = 0,
): void {
  let text = message;
  if (count > 0) text += " " + a.toString();
  if (count > 1) text += " " + b.toString();
  if (count > 2) text += " " + c.toString();
  if (count > 3) text += " " + d.toString();
  if (count > 4) text += " " + e.toString();
  printLine(text);
}
