// The only door to guest memory. Its size is fixed for the life of a machine, so views stay valid
// as long as the guest leaves `memory.grow` alone; addresses from the guest arrive signed and are
// made unsigned here and nowhere else.

/** The guest broke a rule. Handled at the device boundary, never fatal to the host. */
export class GuestError extends Error {
  override name = "GuestError";
}

/**
 * The guest has executed `memory.grow`. Even by 0 pages that detaches every view of the host, so it
 * ends the guest.
 */
export class MemoryDetached extends Error {
  override name = "MemoryDetached";
}

export const PAGE_BYTES = 65536;

/** Converts a number that the guest passed as i32 to the u32 it means. */
export function u32(value: number): number {
  return value >>> 0;
}

/** The linear memory of a guest. Every address that comes from the guest is checked here. */
export class GuestMemory {
  /** The memory that the image imports; owned by the machine. */
  readonly wasm: WebAssembly.Memory;
  readonly byteLength: number;
  /** The guest's RAM; the devices' shared memory regions follow it. */
  readonly ramBytes: number;
  /** All memory. Offsets must have been checked by `check` or `contains`. */
  readonly u8: Uint8Array;
  readonly view: DataView;

  /** Throws if the process has no address space left: V8 reserves some 10 GiB for each memory. */
  constructor(pages: number, shared = false, ramBytes = pages * PAGE_BYTES) {
    try {
      this.wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared });
    } catch (error) {
      const { message } = error as Error;
      throw new Error(`memory of ${pages * PAGE_BYTES} bytes: no room in this process: ${message}`);
    }
    this.byteLength = this.wasm.buffer.byteLength;
    this.ramBytes = ramBytes;
    this.u8 = new Uint8Array(this.wasm.buffer);
    this.view = new DataView(this.wasm.buffer);
  }

  /** Throws if the views are detached. Called whenever the guest has run, before they are used. */
  get attached(): boolean {
    return this.u8.length !== 0;
  }

  /** Throws MemoryDetached if the guest has executed `memory.grow`. */
  assertAttached(): void {
    if (!this.attached) throw new MemoryDetached("memory.grow, in a memory of fixed size");
  }

  /** Is [address, address + length) inside the memory? Exact for every pair of u32 values. */
  contains(address: number, length: number): boolean {
    return (address >>> 0) + (length >>> 0) <= this.byteLength;
  }

  /** Returns the address unsigned, or throws GuestError if the range leaves the memory. */
  check(address: number, length: number): number {
    if (!this.contains(address, length)) {
      throw new GuestError(`range ${address >>> 0}+${length >>> 0} is outside guest memory`);
    }
    return address >>> 0;
  }

  /** A view of guest memory, not a copy: the guest may change it in any later turn. */
  bytes(address: number, length: number): Uint8Array {
    const start = this.check(address, length);
    return this.u8.subarray(start, start + (length >>> 0));
  }

  /**
   * A static AssemblyScript string: UTF-16, its byte length at address - 4. Cut off after
   * `unitsMax` units, since it may be garbage. "" for 0, or outside of the memory.
   */
  string(address: number, unitsMax = 4096): string {
    if (address === 0 || !this.contains(address - 4, 4)) return "";
    const bytes = this.view.getUint32((address >>> 0) - 4, true);
    if (!this.contains(address, bytes)) return "";
    const length = Math.min(bytes - (bytes % 2), unitsMax * 2);
    return new TextDecoder("utf-16le").decode(this.bytes(address, length).slice());
  }
}
