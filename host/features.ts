// Feature negotiation of one device (virtio 2.2, 4.2.2): what it offers, and what its driver
// accepts, 32 bits at a time.
import { VIRTIO_F_EVENT_IDX, VIRTIO_F_INDIRECT_DESC, VIRTIO_F_VERSION_1 } from "../abi/virtio.ts";
import type { VirtioDevice } from "./device.ts";
import { u32 } from "./memory.ts";

const VERSION_1 = 1n << BigInt(VIRTIO_F_VERSION_1);
const INDIRECT_DESC = 1n << BigInt(VIRTIO_F_INDIRECT_DESC);
const EVENT_IDX = 1n << BigInt(VIRTIO_F_EVENT_IDX);

export class Features {
  accepted = 0n;
  deviceSel = 0;
  driverSel = 0;
  readonly #offered: bigint;
  readonly #device: Pick<VirtioDevice, "features" | "accepts">;

  /** The features of the rings are added to those of the device, and `withheld` ones left out. */
  constructor(device: Pick<VirtioDevice, "features" | "accepts">, withheld: bigint) {
    this.#device = device;
    this.#offered = (device.features | VERSION_1 | INDIRECT_DESC | EVENT_IDX) & ~withheld;
  }

  /** The half that is selected of what is offered. */
  read(): number {
    if (this.deviceSel > 1) return 0;
    return u32(Number((this.#offered >> BigInt(this.deviceSel * 32)) & 0xffffffffn));
  }

  /** Accepts the half that is selected. */
  write(value: number): void {
    if (this.driverSel > 1) {
      // No such features are offered: accepting one is refused at FEATURES_OK.
      if (value !== 0) this.accepted |= 1n << 64n;
      return;
    }
    const shift = BigInt(this.driverSel * 32);
    this.accepted = (this.accepted & ~(0xffffffffn << shift)) | (BigInt(value) << shift);
  }

  /** May the device work with what was accepted? (C8) */
  get agreed(): boolean {
    const isOffered = (this.accepted & ~this.#offered) === 0n;
    if (!isOffered || (this.accepted & VERSION_1) === 0n) return false;
    return this.#device.accepts?.(this.accepted) !== false;
  }

  get indirect(): boolean {
    return (this.accepted & INDIRECT_DESC) !== 0n;
  }

  get eventIdx(): boolean {
    return (this.accepted & EVENT_IDX) !== 0n;
  }

  reset(): void {
    this.accepted = 0n;
    this.deviceSel = this.driverSel = 0;
  }
}
