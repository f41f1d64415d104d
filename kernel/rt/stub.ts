// Takes the place of asc's runtime "stub" (tools/transform.mjs): objects come from the running
// thread's arena. Kernel and drivers may not have any, and nobody may use asc's heap or `new` of an
// unmanaged class; the build refuses both (tools/ban.mjs).
import {
  arenaFailure,
  arenaNew,
  arenaRenew,
} from "torito/kernel/arena/arena";
import { setNamedGlobals, visit, visitGlobal } from "torito/kernel/arena/check";

@unsafe @global export function __alloc(size: usize): usize { return 0; }
@unsafe @global export function __realloc(ptr: usize, size: usize): usize { return 0; }
@unsafe @global export function __free(ptr: usize): void {}
@unsafe @global export function __new(size: usize, id: u32): usize {
  const object = arenaNew(size, id);
  if (object == 0) throw new RangeError(arenaFailure());
  return object;
}
@unsafe @global export function __renew(oldPtr: usize, size: usize): usize {
  const object = arenaRenew(oldPtr, size);
  if (object == 0) throw new RangeError(arenaFailure());
  return object;
}
@unsafe @global export function __link(parent: usize, child: usize, expectMultiple: bool): void {}
@unsafe @global export function __pin(ptr: usize): usize { return ptr; }
@unsafe @global export function __unpin(ptr: usize): void {}
@unsafe @global export function __visit(ptr: usize, cookie: u32): void { visit(ptr); }
@unsafe @global export function __visit_global<T>(value: T, name: string): void {
  if (isManaged<T>()) visitGlobal(changetype<usize>(value), name, nameof<T>());
}
@unsafe @global export function __set_named_globals(visitor: () => void): void {
  setNamedGlobals(visitor);
}
@unsafe @global export function __collect(): void {}
