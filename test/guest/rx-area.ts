// The receive area of apps/rx-zerocopy beside the kernel's sockets; its one call that yields runs
// in a thread of its own.
import { areaReceive } from "torito/kernel/net/socket/receive-area";
import { thread } from "./harness";

export * from "./sockets";
export { heapBlocks } from "./books";
export {
  areaAdviseDontNeed,
  areaEnable,
  areaMap,
  areaPage,
  areaUnmap,
} from "torito/kernel/net/socket/receive-area";

@unmanaged
class Call {
  done: u32;
  result: i32;
  thread: i32;
  socket: i32;
  area: usize;
  length: u32;
}

// Records are used in a circle, so that calls leave nothing on the heap.
const RECORDS: u32 = 16;
const records: usize = memory.data(16 * 24);
let next: u32 = 0;

/** Returns the address of the call's record, as start() does. */
export function startAreaReceive(socket: i32, area: usize, length: u32): usize {
  const call = changetype<Call>(records + (next++ % RECORDS) * offsetof<Call>());
  call.done = 0;
  call.socket = socket;
  call.area = area;
  call.length = length;
  call.thread = thread(perform, changetype<usize>(call));
  return changetype<usize>(call);
}

function perform(arg: usize): void {
  const call = changetype<Call>(arg);
  call.result = areaReceive(call.socket, call.area, call.length);
  call.done = 1;
}
