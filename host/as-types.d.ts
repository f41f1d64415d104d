// AssemblyScript's numbers as the host sees them, so that the wire files and the hypercall
// declarations compile here too.
type u8 = number;
type u16 = number;
type u32 = number;
type i32 = number;
type usize = number;
type u64 = bigint;
type i64 = bigint;
type f64 = number;
type bool = boolean | number;
