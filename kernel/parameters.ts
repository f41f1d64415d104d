// Kernel parameters that must be one of a few words or a number in a range. Invalid values are
// reported and ignored.
import { kernelParameter, parameterIs, parameterNumber } from "./commandline";
import { print } from "./console";

/** The index of the word that `name` is set to, or `preset`; an empty string is no word. */
export function parameterChoice(
  name: string,
  preset: u32,
  a: string,
  b: string,
  c: string = "",
  d: string = "",
  e: string = "",
  f: string = "",
): u32 {
  if (kernelParameter(name) == 0) return preset;
  if (parameterIs(name, a)) return 0;
  if (parameterIs(name, b)) return 1;
  if (c.length != 0 && parameterIs(name, c)) return 2;
  if (d.length != 0 && parameterIs(name, d)) return 3;
  if (e.length != 0 && parameterIs(name, e)) return 4;
  if (f.length != 0 && parameterIs(name, f)) return 5;
  reportIgnored(name);
  return preset;
}

/** The number that `name` is set to, from `least` to `most`, or `preset`. */
export function parameterInRange(name: string, preset: u32, least: u32, most: u32): u32 {
  if (kernelParameter(name) == 0) return preset;
  const value = parameterNumber(name, u32.MAX_VALUE);
  if (value >= least && value <= most && value != u32.MAX_VALUE) return value;
  reportIgnored(name);
  return preset;
}

function reportIgnored(name: string): void {
  print("kernel: the value of ");
  print(name);
  print(" is ignored\n");
}
