// A virtio device on virtio-mmio (virtio 4.2): status handshake, features, configuration.
import {
  Mmio,
  MMIO_MAGIC,
  MMIO_VERSION,
  Status,
  VIRTIO_F_EVENT_IDX,
  VIRTIO_F_INDIRECT_DESC,
  VIRTIO_F_VERSION_1,
} from "../abi/virtio";
import { Errno } from "../abi/errno";
import { mmioRead, mmioWrite } from "../kernel/hypercall";

/** Devices answer register accesses at once: one that has not by then never will. */
const TRIES_MAX: u32 = 100;

/** One device, owned by its driver. */
@unmanaged
export class VirtioDevice {
  base: u32; // on the MMIO bus
  irq: u32;
  id: u32;
  features: u64; // negotiated
  failed: bool; // given up: reset, and not touched again

  /** Reads a register of 4 bytes. */
  read(register: u32): u32 {
    return mmioRead(this.base + register, 4);
  }

  write(register: u32, value: u32): void {
    mmioWrite(this.base + register, 4, value);
  }

  readConfig8(offset: u32): u32 {
    return mmioRead(this.base + Mmio.Config + offset, 1);
  }

  /** A field of 16 bits is not torn; only wider ones need the generation (2.5.1). */
  readConfig16(offset: u32): u32 {
    return mmioRead(this.base + Mmio.Config + offset, 2);
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

  /** 4.2.2: bytes of a shared memory region; all ones if there is none. */
  sharedMemoryBytes(region: u32): u64 {
    this.write(Mmio.SHMSel, region);
    return (<u64>this.read(Mmio.SHMLenHigh) << 32) | this.read(Mmio.SHMLenLow);
  }

  /** The address of a shared memory region. */
  sharedMemoryBase(region: u32): u64 {
    this.write(Mmio.SHMSel, region);
    return (<u64>this.read(Mmio.SHMBaseHigh) << 32) | this.read(Mmio.SHMBaseLow);
  }

  has(feature: u32): bool {
    assert(feature < 64, "no such feature");
    return ((this.features >> feature) & 1) != 0;
  }

  private addStatus(bit: u32): void {
    this.write(Mmio.Status, this.read(Mmio.Status) | bit);
  }

  /** Looks for a device at `base`; id 0 is an empty slot and is left alone (4.2.3.1.1). */
  probe(base: u32, irq: u32): bool {
    assert(!this.failed, "device has failed");
    this.base = base;
    this.irq = irq;
    if (this.read(Mmio.MagicValue) != MMIO_MAGIC) return false;
    if (this.read(Mmio.Version) != MMIO_VERSION) return false;
    this.id = this.read(Mmio.DeviceID);
    return this.id != 0;
  }

  /** 3.1.1, steps 1 to 6: reset to FEATURES_OK. Returns 0, or -ENODEV and the device has FAILED. */
  begin(wanted: u64): i32 {
    const started = this.start();
    return started < 0 ? started : this.negotiate(wanted);
  }

  /** 3.1.1, steps 1 to 3: resets the device. Returns 0, or -ENODEV and the device has FAILED. */
  start(): i32 {
    assert(this.id != 0 && !this.failed, "no device");
    this.write(Mmio.Status, 0);
    for (let tries: u32 = 0; this.read(Mmio.Status) != 0; tries++) {
      if (tries == TRIES_MAX) return this.fail();
    }
    this.addStatus(Status.ACKNOWLEDGE);
    this.addStatus(Status.DRIVER);
    return 0;
  }

  /**
   * 3.1.1, steps 4 to 6, after start(): accepts those of the wanted features that are offered, and
   * those of rings. Returns 0, or -ENODEV and the device has FAILED.
   */
  negotiate(wanted: u64): i32 {
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

  /** The device's feature bits, after start(). */
  offered(): u64 {
    this.write(Mmio.DeviceFeaturesSel, 0);
    const low = this.read(Mmio.DeviceFeatures);
    this.write(Mmio.DeviceFeaturesSel, 1);
    return (<u64>this.read(Mmio.DeviceFeatures) << 32) | low;
  }

  /** 3.1.1, step 8: the device is live. */
  driverOk(): void {
    assert(this.has(VIRTIO_F_VERSION_1) && !this.failed, "no handshake");
    this.addStatus(Status.DRIVER_OK);
  }

  /**
   * Acknowledges the interrupt and returns its causes. Call it before draining queues: a buffer
   * used after this raises a new interrupt.
   */
  acknowledge(): u32 {
    const status = this.read(Mmio.InterruptStatus) & 3;
    if (status != 0) this.write(Mmio.InterruptACK, status);
    return status;
  }

  needsReset(): bool {
    return (this.read(Mmio.Status) & Status.DEVICE_NEEDS_RESET) != 0;
  }

  /** Is the device still as it was brought up: not gone, not reset, and not in need of a reset? */
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
