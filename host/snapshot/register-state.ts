// The registers and queues of a device as a snapshot keeps them. Addresses in them are the guest's:
// restoring checks them as if the driver had written them now.
import { damaged } from "./errors.ts";
import type { Fields } from "./fields.ts";

const QUEUE_SIZE_MAX = 32768;
const QUEUES_MAX = 256;
const U32_MAX = 0xffffffff;
const STATUS_MAX = 0xff;
/** Used buffers, and a change of the configuration. */
const INTERRUPT_STATUS_MAX = 3;

/** Where a queue stands, for a snapshot. */
export interface RingState {
  readonly lastAvail: number;
  readonly usedIdx: number;
  readonly signalled: number;
  /** The rings are inconsistent. */
  readonly broken: boolean;
  /** Heads of the chains that the device holds, in ascending order. */
  readonly held: readonly number[];
}

/** The registers of one queue, for a snapshot; `ring` is null if the queue is not live. */
export interface QueueState {
  readonly size: number;
  /** Low and high half of each address. */
  readonly desc: readonly [number, number];
  readonly driver: readonly [number, number];
  readonly device: readonly [number, number];
  readonly ring: RingState | null;
}

/** The registers of a device and what it keeps itself, for a snapshot. */
export interface RegisterState {
  readonly status: number;
  readonly interruptStatus: number;
  readonly accepted: bigint;
  /** DeviceFeaturesSel, DriverFeaturesSel, QueueSel, SHMSel. */
  readonly selectors: readonly [number, number, number, number];
  readonly queues: readonly QueueState[];
  /** DeviceSnapshots.save(); null before DRIVER_OK. */
  readonly device: unknown;
}

/** As a JSON value. */
export function writeRegisters(state: RegisterState): unknown {
  return { ...state, accepted: state.accepted.toString() };
}

/** Throws SnapshotError. */
export function readRegisters(fields: Fields): RegisterState {
  const [deviceFeaturesSel, driverFeaturesSel, queueSel, shmSel] = numbers(fields, "selectors", 4);
  return {
    status: fields.count("status", STATUS_MAX),
    interruptStatus: fields.count("interruptStatus", INTERRUPT_STATUS_MAX),
    accepted: fields.u64("accepted"),
    selectors: [deviceFeaturesSel, driverFeaturesSel, queueSel, shmSel] as Four,
    queues: fields.objects("queues", QUEUES_MAX).map(readQueue),
    device: fields.any("device") ?? null,
  };
}

type Two = [number, number];
type Four = [number, number, number, number];

function readQueue(fields: Fields): QueueState {
  return {
    size: fields.u32("size"),
    desc: numbers(fields, "desc", 2) as Two,
    driver: numbers(fields, "driver", 2) as Two,
    device: numbers(fields, "device", 2) as Two,
    ring: fields.any("ring") === null ? null : readRing(fields.object("ring")),
  };
}

function readRing(fields: Fields): RingState {
  return {
    lastAvail: fields.u16("lastAvail"),
    usedIdx: fields.u16("usedIdx"),
    signalled: fields.u16("signalled"),
    broken: fields.flag("broken"),
    held: fields.counts("held", QUEUE_SIZE_MAX, QUEUE_SIZE_MAX - 1),
  };
}

function numbers(fields: Fields, key: string, length: number): number[] {
  const list = fields.counts(key, length, U32_MAX);
  if (list.length !== length) throw damaged(`${key} is not a list of ${length} numbers`);
  return list;
}
