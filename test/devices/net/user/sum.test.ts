// The checksum routine: against a slow one, and against its text.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import wabtInit from "wabt";
import {
  fold,
  placed,
  pseudoSum,
  SumMemory,
  sumModule,
} from "../../../../host/devices/net/user/sum.ts";
import { internetChecksum, ip, ipNumber, noise } from "../../../support/frames.ts";

const memory = new SumMemory(3);

function slow(bytes: Uint8Array): number {
  return ~internetChecksum(bytes) & 0xffff;
}

/** 0 and 0xffff are the same sum. */
const same = (a: number, b: number): boolean => a % 0xffff === b % 0xffff;

test("is what its text says", async () => {
  const wabt = await wabtInit();
  const text = readFileSync("test/support/sum.wat", "utf8");
  const { buffer } = wabt.parseWat("sum.wat", text).toBinary({});
  expect(Buffer.from(sumModule())).toEqual(Buffer.from(buffer));
});

test("sums all lengths up to 100 at all alignments, and long ones, as the slow one does", () => {
  const bytes = noise(65536 + 64, 3);
  memory.u8.set(bytes, 0);
  const lengths = [...Array(101).keys(), 1459, 1460, 65479, 65480, 65536];
  const wrong = lengths.flatMap((length) =>
    [0, 1, 2, 3, 7, 31].filter((at) => {
      return !same(memory.sum(at, length), slow(bytes.subarray(at, at + length)));
    }),
  );
  expect(wrong).toEqual([]);
});

test("carries what 128 KiB of ones make", () => {
  memory.u8.fill(0xff);
  expect([memory.sum(0, 131072), memory.sum(1, 131071), memory.sum(0, 0)]).toEqual([
    0xffff, 0xff00, 0,
  ]);
});

test("sums of two parts add up, wherever they are cut", () => {
  const bytes = noise(200, 4);
  memory.u8.set(bytes, 0);
  for (let cut = 0; cut <= 200; cut++) {
    const whole = fold(memory.sum(0, cut) + placed(memory.sum(cut, 200 - cut), cut));
    expect(same(whole, slow(bytes)), `cut at ${cut}`).toBe(true);
  }
});

test("a pseudo header sums as its bytes do", () => {
  const [source, destination] = ["203.0.113.254", "255.255.255.255"];
  const bytes = Buffer.concat([ip(source), ip(destination), Buffer.from([0, 6, 0xff, 0xe5])]);
  const sum = pseudoSum(ipNumber(source), ipNumber(destination), 6, 0xffe5);
  expect(same(fold(sum), slow(bytes))).toBe(true);
});
