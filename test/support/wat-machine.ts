// Machines for hand-written guests, and the snippets that such guests have in common.
import { Mmio } from "../../abi/virtio.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { type GuestText, guest } from "./wat.ts";

export const MIB = 1024 * 1024;

/** A machine of one MiB on a clock that stands still, with the console in an array. */
export async function machine(text: GuestText, options: Partial<MachineOptions> = {}) {
  const clock = new ManualClock();
  const lines: string[] = [];
  const created = await Machine.create({
    image: await guest(text),
    memoryBytes: MIB,
    clock,
    console: (line) => lines.push(line),
    ...options,
  });
  return { machine: created, clock, lines };
}

/** A counter at `address`. */
export const count = (address: number) =>
  `(i32.store (i32.const ${address}) (i32.add (i32.load (i32.const ${address})) (i32.const 1)))`;

export const u32 = (m: Machine, address: number) => m.memory.view.getUint32(address, true);

/** WAT that writes a register of the first device. */
export const write = (offset: number, value: number) =>
  `(call $mmioWrite (i32.const ${0x10000000 + offset}) (i32.const 4) (i32.const ${value}))`;
/** Activates the first device without queues, as a driver does that wants VERSION_1 alone. */
export const HANDSHAKE = [
  write(Mmio.Status, 1),
  write(Mmio.Status, 3),
  write(Mmio.DriverFeaturesSel, 1),
  write(Mmio.DriverFeatures, 1),
  write(Mmio.Status, 11),
  write(Mmio.Status, 15),
].join("\n");
