// Must not compile: asc's heap has no memory.
@unmanaged
class Raw {
  field: i32 = 1;
}

export function make(): i32 {
  return new Raw().field;
}
