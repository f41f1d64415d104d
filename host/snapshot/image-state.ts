// The state of an image's instance besides its memory: the mutable globals. The image has to export
// them, or they could not be reached (tools/globals.mjs does so for images of this project). An
// image that could change anything else, such as its table, cannot be saved: a snapshot would lose
// it silently.
import { sectionsOf, WasmReader } from "../wasm-reader.ts";
import { SnapshotError } from "./errors.ts";
import { skipConstant, skipInstruction } from "./instructions.ts";

const enum Section {
  Import = 2,
  Global = 6,
  Export = 7,
  Start = 8,
  Code = 10,
  Data = 11,
}

const enum Kind {
  Function = 0,
  Table = 1,
  Memory = 2,
  Global = 3,
}

const MUTABLE = 1;
const LIMITS_WITH_MAXIMUM = 1;
/** A data segment that no memory.init can reach, since checkCode() refuses that. */
const PASSIVE = 1;

/** Numeric types, by their codes. */
const enum Type {
  F64 = 0x7c,
  F32 = 0x7d,
  I64 = 0x7e,
  I32 = 0x7f,
}

export interface MutableGlobal {
  /** As it is exported. */
  readonly name: string;
  readonly type: Type;
}

export interface ImageState {
  /** In the order of the image. */
  readonly globals: readonly MutableGlobal[];
  /** Instantiation writes nothing from here on; Infinity: not known. */
  readonly dataEnd: number;
}

const known = new WeakMap<Uint8Array, ImageState>();

/** Throws SnapshotError if machines of this image, a valid one, cannot be saved. */
export function imageState(bytes: Uint8Array): ImageState {
  const before = known.get(bytes);
  if (before !== undefined) return before;
  const state = read(bytes);
  known.set(bytes, state);
  return state;
}

function read(bytes: Uint8Array): ImageState {
  const reader = new WasmReader(bytes);
  const mutable = new Map<number, Type>(); // by index
  const names = new Map<number, string>();
  let imported = 0;
  let dataEnd = 0;
  for (const section of sectionsOf(reader)) {
    if (section === Section.Import) imported = countImportedGlobals(reader);
    else if (section === Section.Global) readGlobals(reader, imported, mutable);
    else if (section === Section.Export) readExports(reader, names);
    else if (section === Section.Start) dataEnd = Number.POSITIVE_INFINITY;
    else if (section === Section.Code) checkCode(reader);
    else if (section === Section.Data) dataEnd = Math.max(dataEnd, endOfData(reader));
  }
  const globals = [...mutable].map(([index, type]) => {
    const name = names.get(index);
    if (name === undefined) throw unfit(`its mutable global ${index} is not exported`);
    return { name, type };
  });
  return { globals, dataEnd };
}

function unfit(fact: string): SnapshotError {
  return new SnapshotError("ERR_SNAPSHOT_IMAGE", `the image cannot be saved: ${fact}`);
}

function countImportedGlobals(reader: WasmReader): number {
  let count = 0;
  for (let left = reader.u32(); left > 0; left--) {
    reader.name();
    reader.name();
    const kind = reader.byte();
    if (kind === Kind.Global) {
      count++;
      reader.at += 2;
    } else if (kind === Kind.Function) {
      reader.skipInteger();
    } else {
      if (kind === Kind.Table) reader.at += 1;
      const hasMaximum = (reader.byte() & LIMITS_WITH_MAXIMUM) !== 0;
      reader.skipInteger();
      if (hasMaximum) reader.skipInteger();
    }
  }
  return count;
}

function readGlobals(reader: WasmReader, first: number, mutable: Map<number, Type>): void {
  const count = reader.u32();
  for (let index = first; index < first + count; index++) {
    const type = reader.byte();
    const isMutable = reader.byte() === MUTABLE;
    skipConstant(reader);
    if (!isMutable) continue;
    if (type < Type.F64) throw unfit(`its mutable global ${index} is not a number`);
    mutable.set(index, type);
  }
}

function readExports(reader: WasmReader, names: Map<number, string>): void {
  for (let left = reader.u32(); left > 0; left--) {
    const name = reader.name();
    const kind = reader.byte();
    const index = reader.u32();
    if (kind === Kind.Global) names.set(index, name);
  }
}

function checkCode(reader: WasmReader): void {
  for (let left = reader.u32(); left > 0; left--) {
    const length = reader.u32();
    const end = reader.at + length;
    for (let groups = reader.u32(); groups > 0; groups--) {
      reader.skipInteger();
      reader.at += 1; // the type
    }
    while (reader.at < end) {
      const refused = skipInstruction(reader);
      if (refused !== "") throw unfit(`it uses ${refused}`);
    }
  }
}

function endOfData(reader: WasmReader): number {
  let end = 0;
  for (let left = reader.u32(); left > 0; left--) {
    const isPassive = reader.u32() === PASSIVE;
    const offset = isPassive ? 0 : (skipConstant(reader) ?? Number.POSITIVE_INFINITY);
    const length = reader.u32();
    reader.at += length;
    end = Math.max(end, isPassive ? 0 : offset + length);
  }
  return end;
}

const view = new DataView(new ArrayBuffer(8));

/** The bits of a global's value; of a NaN, some. */
export function bitsOf({ type }: MutableGlobal, value: number | bigint): bigint {
  view.setBigInt64(0, 0n);
  if (type === Type.I64) view.setBigInt64(0, value as bigint);
  else if (type === Type.I32) view.setInt32(4, value as number);
  else if (type === Type.F32) view.setFloat32(4, value as number);
  else view.setFloat64(0, value as number);
  return view.getBigUint64(0);
}

/** The value with these bits. */
export function valueFrom({ type }: MutableGlobal, bits: bigint): number | bigint {
  view.setBigUint64(0, bits);
  if (type === Type.I64) return view.getBigInt64(0);
  if (type === Type.I32) return view.getInt32(4);
  return type === Type.F32 ? view.getFloat32(4) : view.getFloat64(0);
}
