// The end of assert() and throw (the build's option: use abort). Nothing here allocates. A throw of
// the application in a thread that has a fault entry makes the thread start again there; any other
// ends the machine. The host prints the message with file and line.
import { handOver } from "./console";
import { fault as hostFault, panic as hostPanic } from "./hypercall";
import { survivesFault } from "./scheduler";

export function panic(message: string | null, file: string | null, line: u32, column: u32): void {
  handOver(); // after any unfinished line
  const text = changetype<usize>(message);
  const source = changetype<usize>(file);
  if (survivesFault() && isApplication(file)) hostFault(text, source, line, column);
  else hostPanic(text, source, line, column);
  unreachable();
}

/** Kernel and drivers may have been half through a change; asc's library is the application's. */
function isApplication(file: string | null): bool {
  if (!file) return false;
  return !file.startsWith("~lib/torito/kernel/") && !file.startsWith("~lib/torito/drivers/");
}
