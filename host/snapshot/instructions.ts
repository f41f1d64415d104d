// Walks over the instructions of a function or of a constant expression, and finds those that
// change what a snapshot does not save: tables, segments and the size of the memory.
import type { WasmReader } from "../wasm-reader.ts";

const enum Op {
  Block = 0x02,
  If = 0x04,
  End = 0x0b,
  BrTable = 0x0e,
  CallIndirect = 0x11,
  ReturnCallIndirect = 0x13,
  SelectTyped = 0x1c,
  TableSet = 0x26,
  MemoryGrow = 0x40,
  I32Const = 0x41,
  F32Const = 0x43,
  F64Const = 0x44,
  RefNull = 0xd0,
  RefIsNull = 0xd1,
  RefFunc = 0xd2,
  Misc = 0xfc,
  Simd = 0xfd,
  Atomic = 0xfe,
}

/** The second number of instructions that begin with 0xfc. */
const MISC: Readonly<Record<number, string>> = {
  8: "memory.init",
  9: "data.drop",
  12: "table.init",
  13: "elem.drop",
  14: "table.copy",
  15: "table.grow",
  17: "table.fill",
};
const MEMORY_COPY = 10;
const ATOMIC_FENCE = 3;

/** Numbers that follow an instruction, none of which has any meaning here. */
function integersAfter(op: number): number {
  if (op >= Op.Block && op <= Op.If) return 1; // a block's type
  if (op === 0x0c || op === 0x0d || op === 0x10 || op === 0x12) return 1; // br, br_if, call
  if (op === Op.CallIndirect || op === Op.ReturnCallIndirect) return 2;
  if (op >= 0x20 && op <= 0x25) return 1; // locals, globals, table.get
  if (op >= 0x28 && op <= 0x3e) return 2; // loads and stores
  if (op === 0x3f || op === Op.I32Const || op === Op.I32Const + 1) return 1;
  return op === Op.RefNull || op === Op.RefFunc ? 1 : 0;
}

const PLAIN = (op: number) =>
  op <= 0x01 ||
  op === 0x05 ||
  op === Op.End ||
  op === 0x0f ||
  op === 0x1a ||
  op === 0x1b ||
  (op >= 0x45 && op <= 0xc4) ||
  op === Op.RefIsNull;

/**
 * Reads one instruction. Returns the name of one that a snapshot cannot follow, or a description of
 * one that is not known here; "": neither.
 */
export function skipInstruction(reader: WasmReader): string {
  const op = reader.byte();
  if (op === Op.TableSet) return "table.set";
  if (op === Op.MemoryGrow) return "memory.grow";
  const integers = integersAfter(op);
  if (integers > 0) {
    for (let i = 0; i < integers; i++) reader.skipInteger();
    return "";
  }
  if (PLAIN(op)) return "";
  if (op === Op.F32Const || op === Op.F64Const) {
    reader.at += op === Op.F32Const ? 4 : 8;
    return "";
  }
  if (op === Op.BrTable) {
    for (let left = reader.u32() + 1; left > 0; left--) reader.skipInteger();
    return "";
  }
  if (op === Op.SelectTyped) {
    for (let left = reader.u32(); left > 0; left--) reader.skipInteger();
    return "";
  }
  if (op === Op.Misc) return skipMisc(reader);
  if (op === Op.Simd) return skipSimd(reader);
  if (op === Op.Atomic) return skipAtomic(reader);
  return `instruction 0x${op.toString(16)}`;
}

/** Reads a constant expression up to its end. Returns the value of a lone i32.const, or null. */
export function skipConstant(reader: WasmReader): number | null {
  const start = reader.at;
  const isI32 = reader.byte() === Op.I32Const;
  const value = isI32 ? reader.u32() : 0;
  if (isI32 && reader.byte() === Op.End) return value;
  reader.at = start;
  for (;;) {
    const ends = reader.byte() === Op.End;
    if (ends) return null;
    reader.at--;
    skipInstruction(reader);
  }
}

function skipMisc(reader: WasmReader): string {
  const op = reader.u32();
  const name = MISC[op];
  if (name !== undefined) return name;
  if (op > 17) return `instruction 0xfc ${op}`;
  const integers = op < 8 ? 0 : op === MEMORY_COPY ? 2 : 1;
  for (let i = 0; i < integers; i++) reader.skipInteger();
  return "";
}

/** Most have no operands besides the stack's. */
function skipSimd(reader: WasmReader): string {
  const op = reader.u32();
  const isMemory = op <= 11 || (op >= 84 && op <= 93);
  if (isMemory) {
    reader.skipInteger();
    reader.skipInteger();
  }
  const isLane = (op >= 21 && op <= 34) || (op >= 84 && op <= 91);
  if (isLane) reader.at += 1;
  if (op === 12 || op === 13) reader.at += 16; // v128.const, i8x16.shuffle
  return "";
}

function skipAtomic(reader: WasmReader): string {
  const op = reader.u32();
  if (op === ATOMIC_FENCE) {
    reader.at += 1;
    return "";
  }
  reader.skipInteger();
  reader.skipInteger();
  return "";
}
