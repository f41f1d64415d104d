// The kernel command line: items separated by spaces, `name=value` or a bare name. It stays where
// the host stored it, and values are slices of it.
import { BootInfo } from "../abi/boot";
import { Cursor } from "./cursor";
import { Span, span } from "./span";

const SPACE: u32 = 0x20;
const EQUALS: u32 = 0x3d;

const cursor = changetype<Cursor>(memory.data(offsetof<Cursor>()));
let line: usize = 0;
let lineBytes: u32 = 0;

export function commandLineInit(bootInfo: usize): void {
  line = load<u32>(bootInfo, BootInfo.commandLine);
  lineBytes = load<u32>(bootInfo, BootInfo.commandLineBytes);
}

/** The address of the value of the `index`th item called `name`, or 0. A bare name has 0 bytes. */
export function kernelParameter(name: string, index: u32 = 0): usize {
  cursor.begin(line, lineBytes);
  while (!cursor.isAtEnd) {
    if (cursor.skipWord(name)) {
      const isItem = cursor.skip(EQUALS) || cursor.is(SPACE) || cursor.isAtEnd;
      if (isItem && index-- == 0) return cursor.at;
    }
    cursor.seek(SPACE);
    cursor.skip(SPACE);
  }
  return 0;
}

/** The length of a value that kernelParameter returned. */
export function parameterBytes(value: usize): u32 {
  cursor.begin(value, <u32>(line + lineBytes - value));
  cursor.seek(SPACE);
  return <u32>(cursor.at - value);
}

/** The value of `name` as it stands, or `fallback` when it is missing. */
export function parameterText(name: string, fallback: Span): Span {
  const value = kernelParameter(name);
  return value == 0 ? fallback : span(value, parameterBytes(value));
}

/** A number of this many digits fits into 64 bits. */
const DIGITS_MAX: u32 = 19;
const DIGIT_0: u32 = 0x30;

/** The value of `name` as a decimal number of 32 bits, or `fallback`: it is missing, or not one. */
export function parameterNumber(name: string, fallback: u32): u32 {
  const number = parameterNumber64(name, fallback);
  return number > u32.MAX_VALUE ? fallback : <u32>number;
}

/** The same for a number of up to 19 digits. */
export function parameterNumber64(name: string, fallback: u64): u64 {
  const value = kernelParameter(name);
  const bytes: u32 = value == 0 ? 0 : parameterBytes(value);
  if (bytes == 0 || bytes > DIGITS_MAX) return fallback;
  let number: u64 = 0;
  for (let i: u32 = 0; i < bytes; i++) {
    const digit: u32 = load<u8>(value + i) - DIGIT_0;
    if (digit > 9) return fallback;
    number = number * 10 + digit;
  }
  return number;
}

/** Is the value of `name` exactly `word`? */
export function parameterIs(name: string, word: string): bool {
  const value = kernelParameter(name);
  if (value == 0) return false;
  cursor.begin(value, parameterBytes(value));
  return cursor.skipWord(word) && cursor.isAtEnd;
}
