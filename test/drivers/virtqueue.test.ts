// The guest's virtio core (drivers/virtio.ts, drivers/virtqueue.ts) against a device of the test,
// with every combination of ring features.
import { describe, expect, test } from "vitest";
import type { VirtioDevice } from "../../host/device.ts";
import { GuestPanic } from "../../host/hypercall.ts";
import type { Chain, VirtQueue } from "../../host/virtqueue.ts";
import { compileGuest, runGuest } from "../support/guest.ts";
import { RINGS } from "../support/ring-kinds.ts";

const image = await compileGuest("test/guest/virtqueue.ts");

/** Echoes chains; the first byte says when: see test/guest/virtqueue.ts. */
class EchoDevice implements VirtioDevice {
  readonly id = 42;
  readonly name = "echo";
  readonly features = 0n;
  readonly queueSizesMax = [64];
  readonly queueNames = ["echo"];
  readonly config = new Uint8Array(0);
  #queue: VirtQueue | null = null;
  #held: { chain: Chain; bytes: number }[] = [];

  attach(): void {}
  activate(queues: readonly (VirtQueue | null)[]): void {
    this.#queue = queues[0] ?? null;
  }
  notify(): void {
    for (const chain of this.#queue ?? []) {
      const bytes = new Uint8Array(chain.readableBytes);
      chain.copyFrom(0, bytes);
      chain.copyTo(0, bytes);
      if (bytes[0] === 1) {
        this.#held.push({ chain, bytes: bytes.length });
        continue;
      }
      chain.release(bytes.length);
      if (bytes[0] !== 2) continue;
      for (const kept of this.#held.splice(0).reverse()) kept.chain.release(kept.bytes);
    }
  }
  halted(): void {}
  reset(): void {
    this.#queue = null;
    this.#held = [];
  }
  dispose(): void {}
}

describe.each(RINGS)("with %s", (_, withheldFeatures) => {
  const run = (name: string) =>
    runGuest(image, name, { devices: [new EchoDevice()], withheldFeatures });

  test.each([
    [
      "S1, S3, S5, S7: chains of every shape",
      "chains_of_every_shape_come_back_with_what_was_written",
    ],
    [
      "out-of-order completion (Toro fault 39)",
      "completion_out_of_order_frees_the_right_descriptors",
    ],
    ["a full ring has no room (Toro fault 7)", "a_full_ring_has_no_room_and_all_of_it_comes_back"],
    ["S9: the index wraps at 65536", "the_ring_index_wraps_at_65536"],
    ["S10: interrupts only when enabled", "interrupts_come_only_when_they_are_enabled"],
    ["no memory for its rings", "a_queue_without_memory_is_an_error_and_leaves_nothing"],
    ["M10: an empty slot is left alone", "an_empty_slot_is_left_alone"],
    ["D16: a queue that is not there is refused", "a_device_without_the_queue_is_refused"],
  ])("%s", async (_, name) => {
    await run(`test_${name}`);
  });
});

test("D16, C6, C19: a device that does not offer VERSION_1 is refused (Toro fault 38)", async () => {
  await runGuest(image, "test_a_device_without_version_1_is_refused", {
    devices: [new EchoDevice()],
    withheldFeatures: 1n << 32n,
  });
});

test("a chain without room is the driver's own bug and panics", async () => {
  const failure = runGuest(image, "panics_a_chain_that_does_not_fit", {
    devices: [new EchoDevice()],
  });
  await expect(failure).rejects.toThrow(GuestPanic);
});
