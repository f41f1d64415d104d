// One device's registers without rings: where the register tests begin.
import { Mmio, Status } from "../../abi/virtio.ts";
import type { Region } from "../../host/layout.ts";
import { GuestMemory } from "../../host/memory.ts";
import { RegisterFile } from "../../host/mmio.ts";
import { type FakeDevice, fakeDevice } from "./ring-puppet.ts";

/** A register file by itself, with its interrupt line and log. */
export function registerFile(
  device: FakeDevice = fakeDevice(),
  withheld = 0n,
  regions: readonly Region[] = [],
) {
  const log: string[] = [];
  const line = { raised: 0, up: false };
  const registers = new RegisterFile(device, {
    memory: new GuestMemory(2),
    raise: () => {
      line.raised++;
      line.up = true;
    },
    lower: () => {
      line.up = false;
    },
    log: (message) => log.push(message),
    withheld,
    regions,
  });
  const read = (offset: number) => registers.read(offset, 4);
  const write = (offset: number, value: number) => registers.write(offset, 4, value);
  return { device, registers, line, log, read, write };
}

/** Up to Status.FEATURES_OK, everything accepted. */
export function negotiated(device: FakeDevice = fakeDevice()) {
  const file = registerFile(device);
  file.write(Mmio.Status, Status.ACKNOWLEDGE);
  file.write(Mmio.Status, Status.ACKNOWLEDGE | Status.DRIVER);
  for (const half of [0, 1]) {
    file.write(Mmio.DeviceFeaturesSel, half);
    file.write(Mmio.DriverFeaturesSel, half);
    file.write(Mmio.DriverFeatures, file.read(Mmio.DeviceFeatures));
  }
  file.write(Mmio.Status, Status.ACKNOWLEDGE | Status.DRIVER | Status.FEATURES_OK);
  return file;
}

export type File = ReturnType<typeof registerFile>;

/** The driver's sequence for one queue; a test passes what it wants to be wrong. */
export function setUpQueue(
  { write }: File,
  index: number,
  { size = 4, desc = 0x1000, avail = 0x1100, used = 0x1200 } = {},
) {
  write(Mmio.QueueSel, index);
  write(Mmio.QueueSize, size);
  write(Mmio.QueueDescLow, desc);
  write(Mmio.QueueDriverLow, avail);
  write(Mmio.QueueDeviceLow, used);
  write(Mmio.QueueReady, 1);
}
