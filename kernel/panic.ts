// Where assert() and throw end (asconfig.json: use abort). Neither allocates. The host prints the
// message with file and line and ends the machine.
import { panic as hostPanic } from "./hypercall";

export function panic(message: string | null, file: string | null, line: u32, column: u32): void {
  hostPanic(changetype<usize>(message), changetype<usize>(file), line, column);
  unreachable();
}
