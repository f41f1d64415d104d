// Collections and text of the guest library: each function of test/guest/library.ts on a machine.
import { beforeAll, describe, expect, test } from "vitest";
import { compileGuest, type GuestImage, runGuest } from "../support/guest.ts";

const image: GuestImage = await compileGuest("test/guest/library.ts", { kind: "tests" });
const names = WebAssembly.Module.exports(image.module as WebAssembly.Module).map(
  ({ name }) => name,
);
const sentence = (name: string) => name.replace(/^(test|panics)_/, "").replaceAll("_", " ");

describe("the guest library", () => {
  beforeAll(() =>
    expect(names.filter((name) => name.startsWith("test_")).length).toBeGreaterThan(8),
  );

  for (const name of names.filter((name) => name.startsWith("test_"))) {
    test(sentence(name), async () => {
      await runGuest(image, name);
    });
  }

  for (const name of names.filter((name) => name.startsWith("panics_"))) {
    test(`panics at ${sentence(name)}`, async () => {
      await expect(runGuest(image, name)).rejects.toThrow(/index out of range/);
    });
  }
});
