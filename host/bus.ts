// The MMIO bus: up to 24 device windows, and their interrupt lines. A line follows its device's
// InterruptStatus; pending interrupts are those that the machine has not delivered yet.
import { MMIO_WINDOW } from "../abi/virtio.ts";

export const BUS_BASE = 0x10000000;
export const BUS_STRIDE = 0x1000;
export const BUS_IRQ_FIRST = 5;
export const BUS_SLOTS_MAX = 24;

/** A device's registers. Offsets are inside its window, values are u32. */
export interface BusDevice {
  read(offset: number, bytes: number): number;
  write(offset: number, bytes: number, value: number): void;
}

export class Bus {
  /** Bit per slot: raised since the last delivery. */
  pending = 0;
  /** Bit per slot: raised and not yet acknowledged. */
  asserted = 0;
  /** Accesses that hit no device. */
  strayAccesses = 0;
  readonly #devices: BusDevice[] = [];

  /** Plugs a device into the next slot, and returns the slot's number. */
  plug(device: BusDevice): number {
    if (this.#devices.length === BUS_SLOTS_MAX) {
      throw new Error(`the bus has ${BUS_SLOTS_MAX} slots and all are taken`);
    }
    return this.#devices.push(device) - 1;
  }

  raise(slot: number): void {
    this.pending |= 1 << slot;
    this.asserted |= 1 << slot;
  }

  /** The driver acknowledged everything, so a pending interrupt is not needed any more. */
  lower(slot: number): void {
    this.pending &= ~(1 << slot);
    this.asserted &= ~(1 << slot);
  }

  read(address: number, bytes: number): number {
    const at = address - BUS_BASE;
    const device = this.#devices[at >>> 12];
    const offset = at & (BUS_STRIDE - 1);
    if (at < 0 || device === undefined || offset + bytes > MMIO_WINDOW) {
      this.strayAccesses++;
      return 0;
    }
    return device.read(offset, bytes);
  }

  write(address: number, bytes: number, value: number): void {
    const at = address - BUS_BASE;
    const device = this.#devices[at >>> 12];
    const offset = at & (BUS_STRIDE - 1);
    if (at < 0 || device === undefined || offset + bytes > MMIO_WINDOW) {
      this.strayAccesses++;
      return;
    }
    device.write(offset, bytes, value);
  }

  /** Kernel parameters that announce the plugged devices (virtio 4.2.2.1 leaves the way open). */
  announcement(): string {
    return this.#devices
      .map((_, slot) => {
        const base = (BUS_BASE + slot * BUS_STRIDE).toString(16);
        return `virtio_mmio.device=${MMIO_WINDOW}@0x${base}:${BUS_IRQ_FIRST + slot}`;
      })
      .join(" ");
  }
}
