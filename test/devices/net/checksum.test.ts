// The sum of the Internet checksum, in WebAssembly, against ten lines of JavaScript.
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import wabtInit from "wabt";
import { CHECKSUM_CODE } from "../../../host/devices/net/offload/checksum-code.ts";
import { Staging } from "../../../host/devices/net/offload/staging.ts";
import { internetChecksum, noise } from "../../support/frames.ts";

const staging = new Staging();

function check(at: number, bytes: Uint8Array): void {
  staging.bytes.set(bytes, at);
  staging.putChecksum(0, staging.sum(at, bytes.length));
  const expected = internetChecksum(bytes);
  expect(staging.view.getUint16(0), `${bytes.length} bytes at ${at}`).toBe(expected || 0xffff);
}

test("the bytes of the module are those of its text", async () => {
  const path = "host/devices/net/offload/checksum.wat";
  const module = (await wabtInit()).parseWat(path, await readFile(path, "utf8"));
  expect(CHECKSUM_CODE).toEqual(Uint8Array.from(module.toBinary({}).buffer));
  module.destroy();
});

test("sums every length, from even and odd addresses", () => {
  for (let bytes = 0; bytes <= 64; bytes++) {
    for (let at = 16; at < 20; at++) check(at, noise(bytes, bytes + at));
  }
  for (const bytes of [1459, 1460, 65_535, 65_536]) check(17, noise(bytes, bytes));
});

test("carries are added in, up to the largest sum", () => {
  check(16, Buffer.alloc(130_000, 0xff));
  check(16, Buffer.alloc(64));
  expect(staging.sum(16, 0, 0xffff)).toBe(0xffff);
  expect(staging.sum(16, 0, 0x1fffe)).toBe(0xffff);
});

test("a sum goes on where another ended", () => {
  const bytes = noise(3000);
  staging.bytes.set(bytes, 16);
  const first = staging.sum(16, 1000);
  expect(staging.sum(1016, 2000, first)).toBe(staging.sum(16, 3000));
});
