// Hand-written guests: WebAssembly text around the entry points that the machine wants.
import wabtInit from "wabt";

export const FEATURES = {
  threads: true,
  bulk_memory: true,
  mutable_globals: true,
  sign_extension: true,
  sat_float_to_int: true,
  exceptions: true,
};

const wabt = wabtInit();

/** Assembles a module; names are kept, so that stacks can be read. */
export async function assemble(name: string, text: string): Promise<Uint8Array<ArrayBuffer>> {
  const module = (await wabt).parseWat(name, text, FEATURES);
  // wabt's types leave the argument out; without it a shared memory is refused.
  (module as unknown as { validate(features: typeof FEATURES): void }).validate(FEATURES);
  const bytes = new Uint8Array(module.toBinary({ write_debug_names: true }).buffer);
  module.destroy();
  return bytes;
}

export interface GuestText {
  /** Module fields beside the entry points: globals, data, functions. */
  readonly fields?: string;
  readonly initialize?: string;
  /** (param $info i32) */
  readonly boot?: string;
  /** (param $irq i32) */
  readonly interrupt?: string;
  /** (param $budget i32) (result i32) */
  readonly run?: string;
  /** The memory's limits, as in `2 65536 shared`. */
  readonly memory?: string;
}

/** A guest that does what the given bodies do; without one it halts at once. */
export function guest(text: GuestText): Promise<Uint8Array<ArrayBuffer>> {
  const { fields = "", initialize = "", boot = "", interrupt = "", run = "i32.const 0" } = text;
  return assemble(
    "guest.wat",
    `(module
      (import "hypercall" "mmioRead" (func $mmioRead (param i32 i32) (result i32)))
      (import "hypercall" "mmioWrite" (func $mmioWrite (param i32 i32 i32)))
      (import "hypercall" "clock" (func $clock (result i64)))
      (import "hypercall" "panic" (func $panic (param i32 i32 i32 i32)))
      (import "wasi_snapshot_preview1" "fd_write"
        (func $fd_write (param i32 i32 i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "clock_time_get"
        (func $clock_time_get (param i32 i64 i32) (result i32)))
      (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
      (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (import "env" "memory" (memory ${text.memory ?? "1 65536"}))
      (export "memory" (memory 0))
      ${fields}
      (func $initialize (export "_initialize") ${initialize})
      (func $boot (export "boot") (param $info i32) ${boot})
      (func $interrupt (export "interrupt") (param $irq i32) ${interrupt})
      (func $run (export "run") (param $budget i32) (result i32) ${run})
    )`,
  );
}

/** WAT that prints `bytes` bytes at `address`: an iovec at 0x3000, the count at 0x3008. */
export function print(address: number, bytes: number): string {
  return `(i32.store (i32.const 0x3000) (i32.const ${address}))
    (i32.store (i32.const 0x3004) (i32.const ${bytes}))
    (drop (call $fd_write (i32.const 1) (i32.const 0x3000) (i32.const 1) (i32.const 0x3008)))`;
}
