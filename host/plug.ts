// Plugs devices into a machine: each gets a register file on the bus, and a DeviceHost.
import { BUS_IRQ_FIRST, BUS_SLOTS_MAX, type Bus } from "./bus.ts";
import type { VirtioDevice } from "./device.ts";
import type { Layout } from "./layout.ts";
import { type Log, limitLog } from "./log.ts";
import { RegisterFile } from "./mmio.ts";
import type { Clock } from "./ports/clock.ts";
import type { Tracing } from "./trace/tracing.ts";

const LOG_LINES_PER_SECOND = 5;

export interface Slots {
  readonly bus: Bus;
  readonly layout: Layout;
  readonly clock: Clock;
  readonly tracing: Tracing;
  readonly log: Log;
  readonly withheldFeatures: bigint;
  /** DeviceHost.turn */
  readonly turn: (atOnce?: boolean) => void;
  /** A device has work for another turn. */
  readonly exhausted: () => void;
  /** DeviceHost.late */
  readonly late: () => void;
  /** A device's timer threw, which ends its machine, and no other. */
  readonly failed: (error: unknown) => void;
}

/** Devices that are plugged in, of all machines. */
const plugged = new WeakSet<VirtioDevice>();

/** Plugs in all devices or none. If one fails, those attached before it are disposed. */
export function plugAll(devices: readonly VirtioDevice[], slots: Slots): readonly RegisterFile[] {
  if (devices.length > BUS_SLOTS_MAX) {
    throw new Error(`the bus has ${BUS_SLOTS_MAX} slots for ${devices.length} devices`);
  }
  const taken = devices.find((one, i) => plugged.has(one) || devices.indexOf(one) !== i);
  if (taken !== undefined) throw new Error(`${taken.name}: it is plugged in already`);
  try {
    return devices.map((device) => plug(device, slots));
  } catch (error) {
    for (const device of devices) if (plugged.has(device)) device.dispose();
    throw error;
  }
}

function plug(device: VirtioDevice, slots: Slots): RegisterFile {
  const { bus, layout, clock, log } = slots;
  const { memory } = layout;
  plugged.add(device);
  const regions = layout.regions.get(device) ?? [];
  const track = slots.tracing.device(device);
  const now = () => clock.now();
  const write = (message: string) => log("warn", device.name, message);
  const registers: RegisterFile = new RegisterFile(device, {
    memory,
    regions,
    raise: () => {
      track.interrupted(BUS_IRQ_FIRST + slot);
      bus.raise(slot);
    },
    lower: () => bus.lower(slot),
    log: limitLog(write, now, LOG_LINES_PER_SECOND),
    withheld: slots.withheldFeatures,
    exhausted: slots.exhausted,
    kicked: track.kicked,
  });
  const slot = bus.plug(registers);
  device.attach({
    memory,
    sharedMemory: regions.map(({ base }) => base),
    turn: slots.turn,
    configChanged: () => registers.configChanged(),
    now,
    after: (ms, callback) =>
      clock.after(ms, () => {
        try {
          callback();
        } catch (error) {
          slots.failed(error);
        }
      }),
    defer: (callback) => clock.defer(callback),
    late: slots.late,
    log: (message) => log("info", device.name, message),
    trace: track,
  });
  return registers;
}

/** Throws if the guest could not tell two devices apart: by CID, or by tag. */
export function assertDistinct(devices: readonly VirtioDevice[]): void {
  const known = new Set<string>();
  for (const { id, name, identity } of devices) {
    if (identity === undefined) continue;
    const key = `${id} ${identity}`;
    if (known.has(key)) {
      throw new Error(`${name}: ${identity} is taken by another device of the machine`);
    }
    known.add(key);
  }
}
