// Comparing and joining byte arrays.
import { expect, test } from "vitest";
import { equalBytes, joinBytes } from "../../host/bytes.ts";

const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i);

test("compares arrays byte for byte, whatever their length and alignment", () => {
  for (const length of [0, 1, 7, 255, 256, 259, 4096]) {
    for (const [left, right] of [
      [0, 0],
      [0, 1],
      [4, 8],
    ] as const) {
      const a = bytes(length + 8).subarray(left, left + length);
      const b = new Uint8Array(length + 8).subarray(right, right + length);
      b.set(a);
      expect(equalBytes(a, b)).toBe(true);
      if (length === 0) continue;
      for (const at of [0, length >> 1, length - 1]) {
        b[at] = ~(b[at] as number);
        expect(equalBytes(a, b), `${length} ${at}`).toBe(false);
        b[at] = a[at] as number;
      }
      expect(equalBytes(a, b.subarray(1))).toBe(false);
    }
  }
});

test("joins parts in order", () => {
  expect(joinBytes([bytes(2), bytes(0), bytes(3)])).toEqual(Uint8Array.of(0, 1, 0, 1, 2));
  expect(joinBytes([])).toEqual(new Uint8Array(0));
});
