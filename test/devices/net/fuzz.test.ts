// Frames and headers of a guest that were valid before something in them changed, on every kind of
// ring: the device never fails, and every frame that arrives is within the rules.
import { describe, expect, test } from "vitest";
import { NetHdr } from "../../../abi/net.ts";
import { card, digests, frame, noise } from "../../support/frames.ts";
import { type NetPuppet, pair } from "../../support/net-puppet.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { readWork, tcpFrame, workHeader } from "../../support/tcp-frames.ts";

const ROUNDS = 1500;
const [SENDS, TAKES, MERGES] = [[0, 11], [1, 7], [15]];
const RECEIVERS: readonly (readonly number[])[] = [[], [1], TAKES, MERGES, [...TAKES, ...MERGES]];
const good = frame(card(2), card(1), 0x88b5, noise(60));

/** Numbers from a seed. */
function random(seed: number) {
  let state = seed;
  return (below: number) => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0; // Numerical Recipes, 7.1
    return Math.floor(((state >>> 0) / 2 ** 32) * below);
  };
}

/** A header and a frame, with up to three octets changed, or cut short. */
function mutant(below: (n: number) => number): [Buffer, Buffer] {
  const size = [536, 1000, 1448, 65_535][below(4)] as number;
  const isLong = below(2) === 0;
  const header = workHeader(isLong ? { type: 1, size, hint: 54 } : {});
  const payload = noise(below(isLong ? 20_000 : 1400), below(1000));
  const bytes = tcpFrame({ payload, isPartial: true, options: noise(4 * below(4)) });
  for (let i = below(4); i > 0; i--) {
    const at = below(NetHdr.sizeof + 60);
    if (at < NetHdr.sizeof) header[at] = below(256);
    else if (at > NetHdr.sizeof + 12) bytes[at - NetHdr.sizeof] = below(256);
  }
  return [header, below(8) === 0 ? bytes.subarray(0, 14 + below(bytes.length - 14)) : bytes];
}

/** Frames of one turn, as their headers divide them; the headers are within the rules. */
function check(guest: NetPuppet, features: readonly number[]): void {
  const used = guest.used();
  while (used.length > 0) {
    const { flags, type, size, start, offset, buffers } = readWork(used[0]?.bytes ?? noise(12));
    const bytes = used.splice(0, buffers).reduce((sum, { len }) => sum + len, 0) - NetHdr.sizeof;
    expect(buffers === 1 || features.includes(15)).toBe(true);
    expect(flags === 0 || (flags === 1 && features.includes(1))).toBe(true);
    expect(type === 0 || (type === 1 && features.includes(7) && flags === 1)).toBe(true);
    expect(type === 0 ? bytes <= 1514 : size > 0 && bytes <= 65_550).toBe(true);
    if (flags === 1) expect(start >= 14 && start + offset + 2 <= bytes).toBe(true);
  }
}

describe.each(RING_KINDS)("with rings of $name", (rings) => {
  test.each(RECEIVERS.map((features) => [features.join(), features] as const))(
    "NG4, NG5: mutants of frames with work, to a guest with features [%s]",
    (_, features) => {
      const below = random(features.length + 1);
      const rxBuffer = features.includes(7) && !features.includes(15) ? [12, 65_600] : [12, 4096];
      const own = { rings, features, rxBuffer, rxBuffers: rxBuffer[1] === 4096 ? 100 : 20 };
      const { left, right } = pair({ rings, features: SENDS }, own);
      for (let round = 0; round < ROUNDS; round++) {
        const [header, bytes] = mutant(below);
        left.sendRaw([header, bytes]);
        expect(left.tx.used().map(({ len }) => len)).toEqual([0]);
        check(right, features);
      }
      const { stats } = left.device;
      expect(stats.framesFromGuest).toBeGreaterThan(ROUNDS / 4);
      expect(stats.dropped.offload).toBeGreaterThan(ROUNDS / 10);
      left.send(good);
      expect(digests(right.take())).toEqual(digests([good]));
      expect([...left.tx.faults, ...right.rx.faults]).toEqual([]);
    },
  );
});
