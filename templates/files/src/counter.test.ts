// The part that needs no file.
import { Errno } from "torito/kernel/api";
import { parse } from "./counter";

function bytes(text: string): Uint8Array {
  return Uint8Array.wrap(String.UTF8.encode(text));
}

export function test_digits_are_a_number(): void {
  assert(parse(bytes("1207"), 4) == 1207);
}

export function test_an_empty_file_counts_from_zero(): void {
  assert(parse(bytes(""), 0) == 0);
}

export function test_anything_else_is_refused(): void {
  assert(parse(bytes("12x"), 3) == -Errno.EINVAL);
  assert(parse(bytes("1234567890"), 10) == -Errno.EINVAL);
}
