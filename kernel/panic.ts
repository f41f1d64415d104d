// The end of assert() and throw (the build: use abort). Nothing here allocates. The host prints
// the message with file and line, after any unfinished line, and ends the machine.
import { handOver } from "./console";
import { panic as hostPanic } from "./hypercall";

export function panic(message: string | null, file: string | null, line: u32, column: u32): void {
  handOver();
  hostPanic(changetype<usize>(message), changetype<usize>(file), line, column);
  unreachable();
}
