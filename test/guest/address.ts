// The machine's address for tests on the host: waiting for it, and losing it.
import { SysWaitForAddress } from "torito/kernel/internet";
import { ToroGetMem } from "torito/kernel/memory";
import {
  gateway,
  localCard,
  localMtu,
  nameServer,
  onAddressLost,
  ownAddress,
} from "torito/kernel/net/inet/local";
import { thread } from "./harness";

export { gateway, localMtu, nameServer, ownAddress };

/** A call of SysWaitForAddress, and its result once it has returned. */
@unmanaged
class Wait {
  isDone: u32;
  result: i32;
  timeoutMs: i32;
  thread: i32;
}

/** Begins a SysWaitForAddress; the Wait is the caller's. */
export function startWait(timeoutMs: i32): usize {
  const call = changetype<Wait>(ToroGetMem(offsetof<Wait>()));
  assert(changetype<usize>(call) != 0, "no memory");
  call.isDone = 0;
  call.timeoutMs = timeoutMs;
  call.thread = thread(waiting, changetype<usize>(call));
  return changetype<usize>(call);
}

function waiting(arg: usize): void {
  const call = changetype<Wait>(arg);
  call.result = SysWaitForAddress(call.timeoutMs);
  call.isDone = 1;
}

export function hasLink(): bool {
  return localCard().hasLink;
}

let losses: u32 = 0;

/** From here on losses of the address are counted. */
export function watchLosses(): void {
  onAddressLost((lost as (arg: usize) => void).index);
}

function lost(_: usize): void {
  assert(ownAddress() == 0, "the address is still there");
  losses++;
}

export function lossCount(): u32 {
  return losses;
}
