// An application that fails, for the report of it.
import { Sleep } from "torito/kernel/thread-calls";

export function main(): i32 {
  Sleep(1);
  return inspect(4);
}

function inspect(wheels: i32): i32 {
  assert(wheels == 3, "the fourth wheel");
  return wheels;
}
