// `torito test` runs each function on a machine of its own.
import { keep, notes } from "./notes";

export function test_a_note_is_kept(): void {
  const id = keep("milk");
  assert(id == 1);
  assert(notes.get("1") == "milk");
}

export function test_ids_are_not_used_again(): void {
  keep("milk");
  assert(notes.delete("1"));
  assert(keep("bread") == 2);
}
