// Saves a halted machine, and puts a machine into a saved state: its memory, the globals of its
// instance, its clock and console, and its devices. Nothing is on a stack between two entries.
import { GENERATION_BYTES, HEAP_TAIL_BYTES, TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { equalBytes } from "../bytes.ts";
import { bytesOfModule } from "../image.ts";
import { GuestError } from "../memory.ts";
import type { RegisterFile } from "../mmio.ts";
import { damaged, SnapshotError } from "./errors.ts";
import { bitsOf, type ImageState, imageState, valueFrom } from "./image-state.ts";
import { copyPages, isZeroBytes, PAGE_BYTES, putPages, type Range, usedPages } from "./pages.ts";
import { type MachineSaved, type SavedDevice, Snapshot, type SnapshotContent } from "./snapshot.ts";
import type { MachineStateParts } from "./state-parts.ts";

export class MachineState implements MachineSaved {
  readonly #parts: MachineStateParts;
  #globals: readonly WebAssembly.Global[] | null = null; // of the instance, in the image's order
  #fitting: Snapshot | null = null; // the last one that was found to fit: a pool has only one

  constructor(parts: MachineStateParts) {
    this.#parts = parts;
  }

  /** Throws SnapshotError if this machine can never be saved. */
  assertSaveable(): void {
    this.#image();
    for (const { device } of this.#parts.registers) {
      if (device.snapshots === undefined) {
        throw new SnapshotError("ERR_SNAPSHOT_BUSY", `the device ${device.name} cannot be saved`);
      }
    }
  }

  /** Between two turns, with all devices quiet. */
  save(): Snapshot {
    const { module, memory, clock, console, registers, isZero = isZeroBytes } = this.#parts;
    const { bytes, state } = this.#image();
    // It is none of the clones', and two snapshots of one state are equal.
    const generation = memory.bytes(TIME_PAGE_ADDRESS + TimePage.generation, GENERATION_BYTES);
    const own = generation.slice();
    generation.fill(0);
    const runs = usedPages(memory.u8, this.#ranges(this.#top()), isZero);
    const pages = copyPages(memory.u8, runs);
    generation.set(own);
    const globals = this.#globalsOf(state);
    const content: SnapshotContent = {
      image: { bytes, module, hash: null },
      ramBytes: memory.ramBytes,
      runs,
      pages,
      globals: state.globals.map((one, i) =>
        bitsOf(one, (globals[i] as WebAssembly.Global).value as number | bigint),
      ),
      devices: registers.map((one) => ({ ...layoutOf(one), registers: one.save() })),
      nowNs: Math.floor(clock.now()),
      takenNs: clock.realtime(),
      line: console.line,
    };
    return new Snapshot(content, MachineState);
  }

  assertFits(snapshot: Snapshot): void {
    if (snapshot === this.#fitting) return;
    const { content } = snapshot;
    const { memory, registers } = this.#parts;
    const { bytes, state } = this.#image();
    this.#assertSameImage(content, bytes);
    if (content.globals.length !== state.globals.length) throw damaged("not the image's globals");
    if (content.ramBytes !== memory.ramBytes) {
      throw unlike(`it is of ${content.ramBytes} bytes of memory, not ${memory.ramBytes}`);
    }
    const present = registers.map(layoutOf);
    const list = (names: readonly { readonly name: string }[]) =>
      names.map(({ name }) => name).join(", ") || "none";
    if (list(content.devices) !== list(present)) {
      throw unlike(`it has the devices ${list(content.devices)}, not ${list(present)}`);
    }
    for (const [i, device] of present.entries()) {
      const { id, queueSizesMax, sharedMemory } = content.devices[i] as SavedDevice;
      const saved = { id, name: device.name, queueSizesMax, sharedMemory };
      if (JSON.stringify(saved) === JSON.stringify(device)) continue;
      throw unlike(`its device ${device.name} has other queues or another window`);
    }
    this.#fitting = snapshot;
  }

  load({ content }: Snapshot, isNew: boolean, entropy: ((into: Uint8Array) => void) | null): void {
    const { memory, clock, time, control, console, registers } = this.#parts;
    const { isZero = isZeroBytes } = this.#parts;
    const { state } = this.#image();
    const address = TIME_PAGE_ADDRESS + TimePage.generation;
    const generation = memory.bytes(address, GENERATION_BYTES).slice();
    const dirty = this.#ranges(isNew ? Math.min(state.dataEnd, memory.ramBytes) : this.#top());
    putPages(memory.u8, content.runs, content.pages, dirty, isZero);
    const globals = this.#globalsOf(state);
    for (const [i, one] of state.globals.entries()) {
      (globals[i] as WebAssembly.Global).value = valueFrom(one, content.globals[i] as bigint);
    }
    clock.continueAt(content.nowNs);
    time.restored();
    if (entropy === null) memory.bytes(address, GENERATION_BYTES).set(generation);
    else time.renew(entropy);
    control.restored(isNew ? memory.view.getUint32(address, true) : null);
    console.restart(content.line);
    time.consoleFull = console.full;
    try {
      for (const [i, one] of registers.entries()) {
        one.restore((content.devices[i] as SavedDevice).registers);
      }
    } catch (error) {
      throw error instanceof GuestError ? damaged(error.message) : error;
    }
  }

  /** Where the guest may have written: below `top`, and where the allocator's end mark is. */
  #ranges(top: number): Range[] {
    const { ramBytes } = this.#parts.memory;
    const end = Math.ceil(top / PAGE_BYTES) * PAGE_BYTES;
    const tail = Math.max(0, ramBytes - HEAP_TAIL_BYTES);
    return end >= tail
      ? [[0, ramBytes]]
      : [
          [0, end],
          [tail, ramBytes],
        ];
  }

  /** Without a word from the guest it may be anywhere. */
  #top(): number {
    const { time, memory } = this.#parts;
    const { heapTop } = time;
    return heapTop === 0 || heapTop > memory.ramBytes ? memory.ramBytes : heapTop;
  }

  #image(): { bytes: Uint8Array; state: ImageState } {
    const bytes = bytesOfModule(this.#parts.module);
    if (bytes !== undefined) return { bytes, state: imageState(bytes) };
    throw new SnapshotError(
      "ERR_SNAPSHOT_IMAGE",
      "the image was given as a module, which cannot be checked; its bytes are needed",
    );
  }

  #globalsOf({ globals }: ImageState): readonly WebAssembly.Global[] {
    const { exports } = this.#parts;
    this.#globals ??= globals.map(({ name }) => exports[name] as WebAssembly.Global);
    return this.#globals;
  }

  #assertSameImage({ image }: SnapshotContent, own: Uint8Array): void {
    if (image.bytes === own) return;
    if (image.bytes !== null && equalBytes(image.bytes, own)) return;
    const hash = this.#parts.hash(own);
    if (image.hash === hash) {
      image.bytes = own;
      image.module = this.#parts.module;
      return;
    }
    const other = image.hash ?? this.#parts.hash(image.bytes as Uint8Array);
    throw new SnapshotError(
      "ERR_SNAPSHOT_IMAGE",
      `it is of the image ${other.slice(0, 12)}, not ${hash.slice(0, 12)}`,
    );
  }
}

function unlike(fact: string): SnapshotError {
  return new SnapshotError("ERR_SNAPSHOT_MACHINE", fact);
}

function layoutOf({ device }: RegisterFile): Omit<SavedDevice, "registers"> {
  const { id, name, queueSizesMax, sharedMemory = [] } = device;
  return { id, name, queueSizesMax, sharedMemory };
}
