// Must not compile: the kernel has no garbage collector.
class Managed {
  field: i32 = 1;
}

export function make(): i32 {
  return new Managed().field;
}
