// Has every numbered statement that binds the vsock driver a test, and is it one that runs with
// every combination of ring features? Titles begin with the numbers: "V16: ...", "V15, V16: ...".
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const range = (letter: string, from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => `${letter}${from + i}`);

// Of the rest V5, V10 and V24 bind the device, V36 and V38 a send buffer that sockets do not have.
const VSOCK = [
  ...["V1", "V2", "V3", "V4", "V6", "V7", "V8", "V9"],
  ...range("V", 11, 23),
  ...range("V", 30, 35),
  ...["V37", "V39"],
];
// D14 and D15 are configuration and replies of the file system.
const DEVICE = [...range("D", 1, 13), "D16", "D17", "D18"];

const files = readdirSync("test").filter((name) => name.endsWith(".test.ts"));
const read = (name: string) => readFileSync(`test/${name}`, "utf8");

/** The numbers that titles in these files begin with. */
function numbers(names: readonly string[]): Set<string> {
  const title = /[([]\s*"((?:[A-Z]\d+, )*[A-Z]\d+): /g;
  return new Set(
    names.flatMap((name) => [...read(name).matchAll(title)].flatMap((one) => one[1]!.split(", "))),
  );
}

describe("the vsock driver", () => {
  const suites = files.filter((name) => /^vsock-driver(-\w+)?\.test\.ts$/.test(name));

  test("has a test for each statement of virtio-vsock that binds it", () => {
    const found = numbers(suites);
    expect(VSOCK.filter((number) => !found.has(number))).toEqual([]);
  });

  test("has a test for each way in which a device may lie to it", () => {
    const found = numbers(suites);
    expect(DEVICE.filter((number) => !found.has(number))).toEqual([]);
  });

  test("runs all of them with every combination of ring features", () => {
    expect(suites.length).toBeGreaterThan(5);
    for (const name of suites) {
      const suites = read(name).match(/^(describe|test)\b.*$/gm);
      expect(suites, name).toEqual([expect.stringMatching(/^describe\.each\(RINGS\)/)]);
    }
  });
});

describe("other drivers", () => {
  test.each([
    ["the handshake", "driver-handshake.test.ts", ["C1", "C4", "C11", "C14", "M9", "M11", "D16"]],
    ["the rings", "virtqueue-driver.test.ts", ["S1", "S3", "S5", "S7", "S9", "S10", "D16"]],
    ["the file system", "fs-driver.test.ts", ["D14", "D15", "D16"]],
  ])("%s has its numbers in %s", (_, name, expected) => {
    const found = numbers([name]);
    expect(expected.filter((number) => !found.has(number))).toEqual([]);
  });
});
