// A connection keeps its flow whichever other one ends that has the same port on the other side.
import { expect, test } from "vitest";
import { connectionKey } from "../../host/trace/connection-key.ts";
import type { Flow } from "../../host/trace/event.ts";
import { Flows } from "../../host/trace/flows.ts";

const NOTHING = { source: new Uint8Array(0), at: 0, end: 0 };
const PORT = 0x4000_0001;
/** Of the host, of another machine, and of a port that is negative as an int32. */
const KEYS = [
  connectionKey(2, PORT, 80),
  connectionKey(2, PORT, 443),
  connectionKey(2, PORT, 22),
  connectionKey(9, PORT, 80),
  connectionKey(2, 0xffff_fff0, 80),
];

test("connections of one port on the other side have flows of their own", () => {
  for (const order of permutations([0, 1, 2, 3, 4])) {
    const ended: Flow[] = [];
    const flows = new Flows(({ flow }) => void ended.push(flow));
    const begun = KEYS.map((key) => -flows.toGuest(key, NOTHING, 1, 0));
    expect(new Set(begun).size).toBe(KEYS.length);
    const left = new Set(KEYS.keys());
    for (const closing of order) {
      flows.closed(KEYS[closing] as number);
      left.delete(closing);
      for (const [i, key] of KEYS.entries()) {
        expect(flows.present(key)).toBe(left.has(i) ? begun[i] : 0);
      }
    }
    expect(ended).toEqual(order.map((i) => begun[i]));
    expect(flows.fromGuest(KEYS[0] as number, NOTHING, 1, 0)).toBe(0);
  }
});

test("the oldest of more connections than are followed are forgotten", () => {
  const ended: Flow[] = [];
  const flows = new Flows(({ flow }) => void ended.push(flow));
  const key = (i: number) => connectionKey(2, PORT + (i >> 1), 80 + (i & 1));
  for (let i = 0; i < 5000; i++) flows.toGuest(key(i), NOTHING, 1, i);
  expect(ended).toHaveLength(5000 - 4096);
  expect(flows.present(key(5000 - 4096 - 1))).toBe(0);
  expect(flows.present(key(5000 - 4096))).toBeGreaterThan(0);
  flows.clear();
  expect(flows.present(key(4999))).toBe(0);
});

function permutations(of: readonly number[]): number[][] {
  if (of.length === 0) return [[]];
  return of.flatMap((one) =>
    permutations(of.filter((i) => i !== one)).map((rest) => [one, ...rest]),
  );
}
