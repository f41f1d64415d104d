// A device that writes headers and lengths at random, with every combination of ring features: the
// driver loses no buffer, and goes on.
import { describe, expect, test } from "vitest";
import { digests, noise } from "../../support/frames.ts";
import { ALL_FEATURES, cardGuests } from "../../support/net-guest.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const make = await cardGuests();
const ROUNDS = 400;
const MODES = ["small", "page", "large", "paged", "mixed", "mergeable"];

/** Numbers from a seed. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0; // Numerical Recipes, 7.1
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}

describe.each(RINGS)("with %s", (_, withheld) => {
  test.each(MODES)("ND1, ND2, ND3, ND4, ND5: noise into buffers of %s", async (mode) => {
    const below = random(MODES.indexOf(mode) + 1);
    const parameters = `net.rx_buffers=${mode}`;
    const memoryBytes = 32 * 1024 * 1024;
    const g = await make({ withheld, mode: parameters, memoryBytes, features: ALL_FEATURES });
    g.watch();
    const full = g.device.queue(0).available;
    const { inFlight } = g.pooled();
    for (let round = 0; round < ROUNDS; round++) {
      for (let i = below(6); i >= 0; i--) {
        const chain = g.device.queue(0).pop();
        if (chain === null) break;
        const type = below(3);
        const work = {
          flags: below(4),
          type: type === 2 ? below(256) : type,
          size: below(3) * 700,
        };
        const header = workHeader({ ...work, start: below(60), offset: below(30) });
        header[10] = below(4) === 0 ? below(20) : 1;
        chain.copyTo(0, header);
        const lengths = [below(40), chain.writableBytes, below(1600), below(chain.writableBytes)];
        chain.release(Math.min(chain.writableBytes, lengths[below(4)] as number));
      }
      g.device.signal();
      g.settle();
      expect(g.device.queue(0).available).toBe(full);
    }
    expect(g.pooled().inFlight).toBe(inFlight);
    const { dropped = 0, starved } = g.counters();
    expect([dropped > ROUNDS / 4, starved, g.faults()]).toEqual([true, 0, 0]);
    const { count } = g.seen();
    expect(count).toBeGreaterThan(ROUNDS / 20);
    const frame = tcpFrame({ payload: noise(1400) });
    g.device.merged(workHeader({ flags: 0 }), frame);
    g.device.signal();
    g.settle();
    expect(g.seen().count).toBe(count + 1);
    expect(digests([g.seen().frame])).toEqual(digests([frame]));
  });
});
