// The kernel command line: items separated by spaces, `name=value` or a bare name. It stays where
// the host stored it, and values are slices of it.
import { BootInfo } from "../abi/boot";
import { Span, span } from "./span";

let start: usize = 0;
let end: usize = 0;

export function commandLineInit(bootInfo: usize): void {
  start = load<u32>(bootInfo, BootInfo.commandLine);
  end = start + load<u32>(bootInfo, BootInfo.commandLineBytes);
}

function itemEnd(item: usize): usize {
  while (item < end && load<u8>(item) != 0x20) item++;
  return item;
}

/** The address of the value if the item at `item` is called `name`, otherwise 0. */
function valueOf(item: usize, name: string): usize {
  const stop = itemEnd(item);
  for (let i = 0; i < name.length; i++, item++) {
    if (item == stop || <i32>load<u8>(item) != name.charCodeAt(i)) return 0;
  }
  if (item == stop) return item;
  return load<u8>(item) == 0x3d ? item + 1 : 0;
}

/** The address of the value of the `index`th item called `name`, or 0. A bare name has 0 bytes. */
export function kernelParameter(name: string, index: u32 = 0): usize {
  for (let item = start; item < end; item = itemEnd(item) + 1) {
    const value = valueOf(item, name);
    if (value != 0 && index-- == 0) return value;
  }
  return 0;
}

/** The length of a value that kernelParameter returned. */
export function parameterBytes(value: usize): u32 {
  return <u32>(itemEnd(value) - value);
}

/** The value of `name` as it stands, or `fallback` when it is missing. */
export function parameterText(name: string, fallback: Span): Span {
  const value = kernelParameter(name);
  return value == 0 ? fallback : span(value, parameterBytes(value));
}

/** The value of `name` as a decimal number, or `fallback` when it is missing or not one. */
export function parameterNumber(name: string, fallback: u32): u32 {
  const value = kernelParameter(name);
  const bytes: u32 = value == 0 ? 0 : parameterBytes(value);
  if (bytes == 0 || bytes > 9) return fallback;
  let number: u32 = 0;
  for (let i: u32 = 0; i < bytes; i++) {
    const digit = <u32>load<u8>(value + i) - 0x30;
    if (digit > 9) return fallback;
    number = number * 10 + digit;
  }
  return number;
}

/** Is the value of `name` exactly `word`? */
export function parameterIs(name: string, word: string): bool {
  const value = kernelParameter(name);
  if (value == 0 || <i32>parameterBytes(value) != word.length) return false;
  for (let i = 0; i < word.length; i++) {
    if (<i32>load<u8>(value + i) != word.charCodeAt(i)) return false;
  }
  return true;
}
