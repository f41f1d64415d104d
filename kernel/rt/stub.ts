// Takes the place of asc's runtime (see tools/transform.mjs): the kernel has no garbage collector,
// so managed allocation fails the build. ERROR() speaks only when a caller is really compiled.
@unsafe @global export function __alloc(size: usize): usize {
  ERROR("managed allocation (__alloc): the kernel has no garbage collector");
  return 0;
}
@unsafe @global export function __realloc(ptr: usize, size: usize): usize {
  ERROR("managed allocation (__realloc): the kernel has no garbage collector");
  return 0;
}
@unsafe @global export function __free(ptr: usize): void {
  ERROR("managed memory (__free): the kernel has no garbage collector");
}
@unsafe @global export function __new(size: usize, id: u32): usize {
  ERROR("managed allocation (__new): the kernel has no garbage collector");
  return 0;
}
@unsafe @global export function __renew(oldPtr: usize, size: usize): usize {
  ERROR("managed allocation (__renew): the kernel has no garbage collector");
  return 0;
}
@unsafe @global export function __link(parent: usize, child: usize, expectMultiple: bool): void {}
@unsafe @global export function __pin(ptr: usize): usize { return ptr; }
@unsafe @global export function __unpin(ptr: usize): void {}
@unsafe @global export function __visit(ptr: usize, cookie: u32): void {}
@unsafe @global export function __collect(): void {}
