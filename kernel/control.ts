// The guest's side of the control block, by which the host tells the application that the machine
// is going away, or that the settings have changed. Reading it is a load; a change calls nothing.
import { ControlBlock } from "../abi/control";

let block: usize = 0;

export function controlInit(address: usize): void {
  block = address;
}

/**
 * Is the machine about to go away? A server then goes on serving, and ends each connection with its
 * next answer. It may become false again. Does not yield.
 */
export function isDraining(): bool {
  return load<u32>(block, ControlBlock.draining) != 0;
}

/**
 * A number that is another one after the settings have changed, and in a machine that was restored
 * from a snapshot: whoever keeps what it has read of them compares it. Does not yield.
 */
export function settingsGeneration(): u32 {
  return load<u32>(block, ControlBlock.settingsGeneration);
}
