// Where assert() and throw end (asconfig.json: use abort). Neither allocates. The host prints the
// message with file and line, behind a line that was begun, and ends the machine.
import { handOver } from "./console";
import { panic as hostPanic } from "./hypercall";

export function panic(message: string | null, file: string | null, line: u32, column: u32): void {
  handOver();
  hostPanic(changetype<usize>(message), changetype<usize>(file), line, column);
  unreachable();
}
