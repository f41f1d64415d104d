// Has every numbered statement that binds the vsock driver a test, and is it one that runs with
// every combination of ring features? Titles begin with the numbers: "V16: ...", "V15, V16: ...".
import { describe, expect, test } from "vitest";
import { testSources } from "../../support/test-files.ts";

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

/** The numbers that titles in these sources begin with. */
function numbers(sources: readonly string[]): Set<string> {
  const title = /[([]\s*"((?:[A-Z]\d+, )*[A-Z]\d+): /g;
  return new Set(
    sources.flatMap((source) =>
      [...source.matchAll(title)].flatMap((one) => (one[1] as string).split(", ")),
    ),
  );
}

describe("the vsock driver", () => {
  const suites = testSources("test/drivers/vsock");
  suites.delete("test/drivers/vsock/titles.test.ts");
  const found = numbers([...suites.values()]);

  test("has a test for each statement of virtio-vsock that binds it", () => {
    expect(VSOCK.filter((number) => !found.has(number))).toEqual([]);
  });

  test("has a test for each way in which a device may lie to it", () => {
    expect(DEVICE.filter((number) => !found.has(number))).toEqual([]);
  });

  test("runs all of them with every combination of ring features", () => {
    expect(suites.size).toBeGreaterThan(5);
    for (const [path, source] of suites) {
      const blocks = source.match(/^(describe|test)\b.*$/gm);
      expect(blocks, path).toEqual([expect.stringMatching(/^describe\.each\(RINGS\)/)]);
    }
  });
});

describe("other drivers", () => {
  test.each([
    [
      "the handshake",
      "test/drivers/handshake.test.ts",
      ["C1", "C4", "C11", "C14", "M9", "M11", "D16"],
    ],
    ["the rings", "test/drivers/virtqueue.test.ts", ["S1", "S3", "S5", "S7", "S9", "S10", "D16"]],
    ["the file system", "test/drivers/fs/driver.test.ts", ["D14", "D15", "D16"]],
  ])("%s has its numbers in %s", (_, path, expected) => {
    const found = numbers([testSources("test/drivers").get(path) as string]);
    expect(expected.filter((number) => !found.has(number))).toEqual([]);
  });
});
