// `torito test` runs every exported function test_* on a machine of its own.
import { greeting } from "./greeting";

export function test_a_name_is_greeted(): void {
  assert(greeting("world") == "Hello, world!");
}

export function test_nobody_is_greeted_as_a_stranger(): void {
  assert(greeting("") == "Hello, stranger!", greeting(""));
}
