// A device of one's own, the half that runs on the host: it rolls dice. The guest hands it buffers
// in one queue, and it fills each with numbers from 1 to 6. `torito` loads this module because
// package.json names it, and makes one device for each machine. The other half is drivers/dice.ts.
//
// A device never looks into the guest's memory by itself: it is given chains of buffers, which are
// checked, and gives each back exactly once. Whatever the guest does, no method may throw.
import { randomInt } from "node:crypto";

/** The type by which a driver knows the device. virtio gives numbers up to 45 a meaning. */
export const DICE_ID = 63;
const QUEUE_SIZE_MAX = 8;
/** Of one chain; the rest stays as it was. */
const ROLLS_MAX = 4096;

/** @typedef {import("torito").VirtioDevice} VirtioDevice */
/** @typedef {import("torito").VirtQueue} VirtQueue */

/** @implements {VirtioDevice} */
export default class DiceDevice {
  id = DICE_ID;
  name = "dice";
  features = 0n; // of its own; those of the rings come by themselves
  queueSizesMax = [QUEUE_SIZE_MAX];
  queueNames = ["rolls"];
  config = new Uint8Array(0);
  /** @type {VirtQueue | null} */
  #queue = null;

  /** Into a machine, once. A device with sockets or timers would keep the host that it is given. */
  attach() {}

  /**
   * The driver is ready. @param {readonly (VirtQueue | null)[]} queues
   */
  activate([queue = null]) {
    this.#queue = queue;
  }

  /** The driver has kicked the queue. This runs inside its kick, so it must not wait. */
  notify() {
    for (const chain of this.#queue ?? []) {
      const rolls = new Uint8Array(Math.min(chain.writableBytes, ROLLS_MAX));
      chain.release(chain.copyTo(0, rolls.map(() => randomInt(1, 7))));
    }
  }

  /** All threads of the guest wait: the time for work that was put off. There is none. */
  halted() {}

  /** The driver begins anew: back to the state before activate(). */
  reset() {
    this.#queue = null;
  }

  /** The machine has ended. */
  dispose() {
    this.#queue = null;
  }
}
