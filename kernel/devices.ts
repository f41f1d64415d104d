// Finds the devices that the command line announces, and starts their drivers. The syntax is
// Linux's: virtio_mmio.device=<bytes>@<base>:<irq>.
import { VIRTIO_ID_FS, VIRTIO_ID_VSOCK } from "../abi/virtio";
import { fsInit } from "../drivers/fs";
import { VirtioDevice } from "../drivers/virtio";
import { vsockInit } from "../drivers/vsock";
import { kernelParameter, parameterBytes } from "./commandline";
import { print, printNumber } from "./console";
import { ToroAllocMem, ToroFreeMem } from "./memory";

/** One item of the command line. */
@unmanaged
class Announcement {
  bytes: u32;
  base: u32;
  irq: u32;
}

const item = changetype<Announcement>(memory.data(offsetof<Announcement>()));
let at: usize = 0;
let end: usize = 0;

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
      ToroFreeMem(changetype<usize>(device));
      print("virtio-mmio: no driver for device ");
      printNumber(id);
      print("\n");
  }
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
  at = value;
  end = value + parameterBytes(value);
  item.bytes = number();
  if (!skip(0x40)) return false;
  item.base = number();
  if (!skip(0x3a)) return false;
  item.irq = number();
  return at == end && item.bytes != 0;
}

function skip(byte: u32): bool {
  if (at == end || load<u8>(at) != byte) return false;
  at++;
  return true;
}

/** A decimal number, or a hexadecimal one after 0x. */
function number(): u32 {
  const hex = end - at > 2 && load<u8>(at) == 0x30 && load<u8>(at, 1) == 0x78;
  if (hex) at += 2;
  let value: u32 = 0;
  for (; at < end; at++) {
    const c: u32 = load<u8>(at);
    let digit = c - 0x30;
    if (digit > 9) digit = hex && (c | 0x20) - 0x61 < 6 ? (c | 0x20) - 0x61 + 10 : 99;
    if (digit > 15) break;
    value = value * (hex ? 16 : 10) + digit;
  }
  return value;
}
