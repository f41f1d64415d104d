// Finds the devices that the command line announces, and starts their drivers. The syntax is
// Linux's: virtio_mmio.device=<bytes>@<base>:<irq>.
import { VIRTIO_ID_FS, VIRTIO_ID_VSOCK } from "../abi/virtio";
import { fsInit } from "../drivers/fs";
import { VirtioDevice } from "../drivers/virtio";
import { vsockInit } from "../drivers/vsock";
import { kernelParameter, parameterBytes } from "./commandline";
import { print, printNumber } from "./console";
import { Cursor } from "./cursor";
import { ToroAllocMem, ToroFreeMem } from "./memory";

/** One item of the command line. */
@unmanaged
class Announcement {
  bytes: u32;
  base: u32;
  irq: u32;
}

const item = changetype<Announcement>(memory.data(offsetof<Announcement>()));
const cursor = changetype<Cursor>(memory.data(offsetof<Cursor>()));

/** Drivers of an application, beside the kernel's; a further one is refused. */
const DRIVERS_MAX: u32 = 8;

@unmanaged
class Driver {
  id: u32;
  name: usize; // a static string
  start: u32; // table index of a function (device: VirtioDevice): i32
}

const drivers: usize = memory.data(8 * 12);
let driverCount: u32 = 0;

/**
 * Adds a driver for devices of the virtio type `id`. Call it from an initialiser, before the
 * kernel boots: `start` is given each device of the type, owns it from then on, and returns 0 or a
 * negative error. `name` is a literal. Returns false if there are too many drivers.
 */
export function registerDriver(id: u32, name: string, start: (device: VirtioDevice) => i32): bool {
  if (driverCount == DRIVERS_MAX) return false;
  const driver = driverAt(driverCount++);
  driver.id = id;
  driver.name = changetype<usize>(name);
  driver.start = start.index;
  return true;
}

function driverAt(i: u32): Driver {
  return changetype<Driver>(drivers + i * offsetof<Driver>());
}

export function probeDevices(): void {
  for (let i: u32 = 0; ; i++) {
    const value = kernelParameter("virtio_mmio.device", i);
    if (value == 0) return;
    if (parse(value)) probe();
    else print("virtio-mmio: an item of the command line is not <bytes>@<base>:<irq>\n");
  }
}

function probe(): void {
  const device = changetype<VirtioDevice>(ToroAllocMem(offsetof<VirtioDevice>()));
  if (changetype<usize>(device) == 0) return print("virtio-mmio: no memory\n");
  if (!device.probe(item.base, item.irq)) {
    ToroFreeMem(changetype<usize>(device));
    return;
  }
  const id = device.id;
  switch (id) {
    case VIRTIO_ID_VSOCK:
      return report("virtio-vsock", vsockInit(device));
    case VIRTIO_ID_FS:
      return report("virtio-fs", fsInit(device));
    default:
      probeOthers(device);
  }
}

function probeOthers(device: VirtioDevice): void {
  for (let i: u32 = 0; i < driverCount; i++) {
    const driver = driverAt(i);
    if (driver.id != device.id) continue;
    const status = call_indirect<i32>(driver.start, device);
    return report(changetype<string>(driver.name), status);
  }
  print("virtio-mmio: no driver for device ");
  printNumber(device.id);
  print("\n");
  ToroFreeMem(changetype<usize>(device));
}

function report(driver: string, status: i32): void {
  print(driver);
  print(", irq ");
  printNumber(item.irq);
  if (status == 0) return print("\n");
  print(": failed with error ");
  printNumber(-status);
  print("\n");
}

function parse(value: usize): bool {
  cursor.begin(value, parameterBytes(value));
  item.bytes = number();
  if (!cursor.skip(0x40)) return false;
  item.base = number();
  if (!cursor.skip(0x3a)) return false;
  item.irq = number();
  return cursor.isAtEnd && item.bytes != 0;
}

/** A decimal number, or a hexadecimal one after 0x. */
function number(): u32 {
  return cursor.number(cursor.skipWord("0x") ? 16 : 10);
}
