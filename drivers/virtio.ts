// A virtio device behind virtio-mmio (virtio 4.2): status handshake, features, configuration.
import {
  Mmio,
  MMIO_MAGIC,
  MMIO_VERSION,
  QUEUE_SIZE_MAX,
  Status,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../abi/virtio";
import { Errno } from "../abi/errno";
import { mmioRead, mmioWrite } from "../kernel/hypercall";
import { VirtQueue } from "./virtqueue";

/** The device is a call away and answers at once: one that does not by then never will. */
const TRIES_MAX: u32 = 100;

/** One device; embedded in, or owned by, its driver. */
@unmanaged
export class VirtioDevice {
  base: u32; // on the MMIO bus
  irq: u32;
  id: u32;
  features: u64; // negotiated
  failed: bool; // given up: reset, and touched no more

  read(register: u32): u32 {
    return mmioRead(this.base + register, 4);
  }

  write(register: u32, value: u32): void {
    mmioWrite(this.base + register, 4, value);
  }

  readConfig8(offset: u32): u32 {
    return mmioRead(this.base + Mmio.Config + offset, 1);
  }

  readConfig32(offset: u32): u32 {
    return mmioRead(this.base + Mmio.Config + offset, 4);
  }

  /** 2.5.1: wider fields are read again if the configuration changed in between. */
  readConfig64(offset: u32): u64 {
    let value: u64 = 0;
    for (let tries: u32 = 0; tries < TRIES_MAX; tries++) {
      const generation = this.read(Mmio.ConfigGeneration);
      value = this.readConfig32(offset);
      value |= <u64>this.readConfig32(offset + 4) << 32;
      if (this.read(Mmio.ConfigGeneration) == generation) break;
    }
    return value;
  }

  /** 4.2.2: bytes of a shared memory region; all ones where there is none. */
  sharedMemoryBytes(region: u32): u64 {
    this.write(Mmio.SHMSel, region);
    return (<u64>this.read(Mmio.SHMLenHigh) << 32) | this.read(Mmio.SHMLenLow);
  }

  /** And where it begins. */
  sharedMemoryBase(region: u32): u64 {
    this.write(Mmio.SHMSel, region);
    return (<u64>this.read(Mmio.SHMBaseHigh) << 32) | this.read(Mmio.SHMBaseLow);
  }

  has(feature: u32): bool {
    return ((this.features >> feature) & 1) != 0;
  }

  private addStatus(bit: u32): void {
    this.write(Mmio.Status, this.read(Mmio.Status) | bit);
  }

  /** Looks for a device at `base`; id 0 is an empty slot and is left alone (4.2.3.1.1). */
  probe(base: u32, irq: u32): bool {
    this.base = base;
    this.irq = irq;
    if (this.read(Mmio.MagicValue) != MMIO_MAGIC) return false;
    if (this.read(Mmio.Version) != MMIO_VERSION) return false;
    this.id = this.read(Mmio.DeviceID);
    return this.id != 0;
  }

  /** 3.1.1, steps 1 to 6: reset to FEATURES_OK. Returns 0, or -ENODEV and the device has FAILED. */
  begin(wanted: u64): i32 {
    this.write(Mmio.Status, 0);
    for (let tries: u32 = 0; this.read(Mmio.Status) != 0; tries++) {
      if (tries == TRIES_MAX) return this.fail();
    }
    this.addStatus(Status.ACKNOWLEDGE);
    this.addStatus(Status.DRIVER);
    const rings =
      (<u64>1 << VIRTIO_F_VERSION_1) |
      (<u64>1 << VIRTIO_F_INDIRECT_DESC) |
      (<u64>1 << VIRTIO_F_EVENT_IDX);
    this.features = this.offered() & (wanted | rings);
    if (!this.has(VIRTIO_F_VERSION_1)) return this.fail();
    this.write(Mmio.DriverFeaturesSel, 0);
    this.write(Mmio.DriverFeatures, <u32>this.features);
    this.write(Mmio.DriverFeaturesSel, 1);
    this.write(Mmio.DriverFeatures, <u32>(this.features >> 32));
    this.addStatus(Status.FEATURES_OK);
    if ((this.read(Mmio.Status) & Status.FEATURES_OK) == 0) return this.fail();
    return 0;
  }

  private offered(): u64 {
    this.write(Mmio.DeviceFeaturesSel, 0);
    const low = this.read(Mmio.DeviceFeatures);
    this.write(Mmio.DeviceFeaturesSel, 1);
    return (<u64>this.read(Mmio.DeviceFeatures) << 32) | low;
  }

  /**
   * 4.2.3.2: makes `queue` live as number `index` with `sizeMax` entries or what the device allows.
   * Returns 0, -ENODEV, -EINVAL or -ENOMEM.
   */
  addQueue(queue: VirtQueue, index: u32, sizeMax: u32, segmentsMax: u32): i32 {
    this.write(Mmio.QueueSel, index);
    if (this.read(Mmio.QueueReady) != 0) return -Errno.ENODEV;
    const offered = this.read(Mmio.QueueSizeMax);
    if (offered == 0 || offered > QUEUE_SIZE_MAX) return -Errno.ENODEV;
    // The largest power of two that both sides allow.
    const size = <u32>1 << (31 - clz(min(offered, sizeMax)));
    const made = queue.init(this, index, size, segmentsMax);
    if (made < 0) return made;
    this.write(Mmio.QueueSize, size);
    this.write(Mmio.QueueDescLow, <u32>queue.desc);
    this.write(Mmio.QueueDescHigh, 0);
    this.write(Mmio.QueueDriverLow, <u32>queue.avail);
    this.write(Mmio.QueueDriverHigh, 0);
    this.write(Mmio.QueueDeviceLow, <u32>queue.used);
    this.write(Mmio.QueueDeviceHigh, 0);
    this.write(Mmio.QueueReady, 1);
    return this.read(Mmio.QueueReady) == 1 ? 0 : -Errno.EINVAL;
  }

  /** 3.1.1, step 8: the device is live. */
  driverOk(): void {
    this.addStatus(Status.DRIVER_OK);
  }

  /**
   * Acknowledges and returns what the device wanted. Acknowledged before anything is drained: what
   * comes in between raises a new interrupt.
   */
  acknowledge(): u32 {
    const status = this.read(Mmio.InterruptStatus) & 3;
    if (status != 0) this.write(Mmio.InterruptACK, status);
    return status;
  }

  needsReset(): bool {
    return (this.read(Mmio.Status) & Status.DEVICE_NEEDS_RESET) != 0;
  }

  /**
   * Is it there, and as it was brought up? A device that was reset or has gone is not, and one that
   * needs a reset answers no more.
   */
  isLive(): bool {
    const state = this.read(Mmio.Status) & (Status.DRIVER_OK | Status.DEVICE_NEEDS_RESET);
    return state == Status.DRIVER_OK;
  }

  /** Gives the device up. After the reset it touches no memory, so buffers may be freed. */
  fail(): i32 {
    this.failed = true;
    this.write(Mmio.Status, 0);
    this.write(Mmio.Status, Status.FAILED);
    return -Errno.ENODEV;
  }
}
