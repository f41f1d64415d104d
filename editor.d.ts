// For editors: numbers have it in AssemblyScript, whose own declarations leave it out.
declare interface Number {
  toString(radix?: i32): string;
}
