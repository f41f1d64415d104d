// A device that holds up the guest for long, as a file on a disk that hangs does: the guest's clock
// is set, and what the sockets have meanwhile comes before the timers that are due by it.
import { expect, test } from "vitest";
import { TimePage } from "../../abi/boot.ts";
import { Mmio } from "../../abi/virtio.ts";
import type { Clock } from "../../host/ports/clock.ts";
import { fakeDevice } from "../support/ring-puppet.ts";
import { count, machine, u32 } from "../support/wat-machine.ts";

const TIME_PAGE = 0x2000;
const STALL_NS = 6_000_000_000;
const DUE = 0x4000;
const write = (offset: number, value: number) =>
  `(call $mmioWrite (i32.const ${0x10000000 + offset}) (i32.const 4) (i32.const ${value}))`;
const HANDSHAKE = [
  write(Mmio.Status, 1),
  write(Mmio.Status, 3),
  write(Mmio.DriverFeaturesSel, 1),
  write(Mmio.DriverFeatures, 1),
  write(Mmio.Status, 11),
  write(Mmio.Status, 15),
].join("\n");
/** Counts its entries, and wants to be woken after a second. */
const RUN = `${count(DUE)}
  (i64.store (i32.const ${TIME_PAGE + TimePage.nextTimerNs}) (i64.const 1000000000)) i32.const 0`;

/** Time goes by without a timer, as it does while the host is at work. */
class HeldClock implements Clock {
  nowNs = 0;
  readonly deferred: (() => void)[] = [];
  timer: (() => void) | null = null;
  now = () => this.nowNs;
  realtime = () => 0n;
  defer(callback: () => void): void {
    this.deferred.push(callback);
  }
  after(_ms: number, callback: () => void): () => void {
    this.timer = callback;
    return () => {
      this.timer = null;
    };
  }
}

test("advances the clock inside the entry, and serves sockets before timers that are due", async () => {
  const clock = new HeldClock();
  let stalls = 1;
  const device = fakeDevice({
    halted() {
      if (stalls-- <= 0) return;
      clock.nowNs += STALL_NS;
      device.host?.late?.();
      expect(Number(m.memory.view.getBigUint64(TIME_PAGE, true))).toBe(STALL_NS);
    },
  });
  const { machine: m } = await machine({ boot: HANDSHAKE, run: RUN }, { devices: [device], clock });
  m.boot();
  expect([u32(m, DUE), clock.deferred.length]).toEqual([1, 1]); // the timer is due, and waits
  clock.deferred.shift()?.();
  expect(u32(m, DUE)).toBeGreaterThan(1);
});

test("defers a timer that the host fires late, too", async () => {
  const clock = new HeldClock();
  const { machine: m } = await machine({ run: RUN }, { clock });
  m.boot();
  expect(u32(m, DUE)).toBe(1);
  clock.nowNs = STALL_NS;
  clock.timer?.();
  expect([u32(m, DUE), clock.deferred.length]).toEqual([1, 1]);
  clock.deferred.shift()?.();
  expect(u32(m, DUE)).toBeGreaterThan(1);
});

test("runs a timer in time at once", async () => {
  const clock = new HeldClock();
  const { machine: m } = await machine({ run: RUN }, { clock });
  m.boot();
  clock.nowNs = 1_000_000_000;
  clock.timer?.();
  expect(u32(m, DUE)).toBeGreaterThan(1);
});
