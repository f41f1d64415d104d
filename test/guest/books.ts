// What the kernel has in use, without what its pool keeps for the next use: that goes back first.
import * as memory from "../../kernel/memory";
import { trimPool } from "../../kernel/net/pool";

export function heapInUse(): u64 {
  trimPool();
  return memory.heapInUse();
}

export function heapBlocks(): u32 {
  trimPool();
  return memory.heapBlocks();
}
