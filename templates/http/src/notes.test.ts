// `torito test` runs every exported function test_* on a machine of its own.
import { Notes } from "./notes";

const notes = new Notes();

export function test_a_note_is_kept_and_numbered(): void {
  assert(notes.add("  buy milk ") == 0);
  assert(notes.add("drink it") == 1);
  assert(notes.at(0) == "buy milk", notes.at(0));
  assert(notes.length == 2);
}

export function test_an_empty_note_is_refused(): void {
  assert(notes.add(" ") == -1);
  assert(notes.length == 0);
}
