// Memory that the kernel uses, without buffers that only wait to be used again: sent packets that
// have not been collected, and what the pool keeps.
import { interrupt } from "torito/kernel/interrupt";
import * as memory from "torito/kernel/memory";
import { trimPool } from "torito/kernel/net/link/pool";

const VSOCK_IRQ: u32 = 5;

function collect(): void {
  interrupt(VSOCK_IRQ);
  trimPool();
}

export function heapInUse(): u64 {
  collect();
  return memory.heapInUse();
}

export function heapBlocks(): u32 {
  collect();
  return memory.heapBlocks();
}
