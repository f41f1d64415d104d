// Memory that the kernel uses, without buffers that only wait to be used again: sent packets that
// have not been collected, and what the pool keeps.
import { interrupt } from "../../kernel/interrupt";
import * as memory from "../../kernel/memory";
import { trimPool } from "../../kernel/net/link/pool";

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
