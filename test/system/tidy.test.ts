// The style of the project, as far as a program can see it.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";

const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { encoding: "utf8" });
const files = listed.split("\n").filter((name) => name !== "" && existsSync(name));
const code = files.filter((name) => /\.(ts|mjs|wat|css|js)$/.test(name));
const read = (name: string) => readFileSync(name, "utf8");
const isGuest = (name: string) => /^(kernel|apps|drivers|guest)\/.*\.ts$/.test(name);
const isWire = (name: string) => name.startsWith("abi/");

/** `file:line` of every line that the pattern matches. */
function lines(names: readonly string[], pattern: RegExp): string[] {
  return names.flatMap((name) =>
    read(name)
      .split("\n")
      .flatMap((line, i) => (pattern.test(line) ? [`${name}:${i + 1}`] : [])),
  );
}

test("no line is longer than 100 characters, but for titles of tests, which are sentences", () => {
  const sources = code.filter((name) => !name.startsWith("apps/web-server/site/"));
  const title = /^(?!\s*(test|describe|witness)\(")(?!\s*\[?").{101,}$/u;
  expect(lines(sources, title)).toEqual([]);
});

test("no source has more than 400 lines, no test more than 500", () => {
  const most = (name: string) => (name.startsWith("test/") ? 500 : 400);
  const sources = code.filter((name) => /\.(ts|mjs)$/.test(name));
  expect(sources.filter((name) => read(name).split("\n").length > most(name) + 1)).toEqual([]);
});

test("nothing is left for later, silenced, skipped or focused", () => {
  const self = "test/system/tidy.test.ts";
  const others = code.filter((name) => name !== self);
  expect(lines(others, /\b(TODO|FIXME|XXX|HACK)\b/)).toEqual([]);
  expect(lines(others, /@ts-(ignore|expect-error|nocheck)|biome-ignore/)).toEqual([]);
  expect(lines(others, /\b(test|it|describe)\.(only|todo)\b/)).toEqual([]);
  // The only tests that may be skipped name the outside witness that is missing.
  expect(lines(others, /\b(test|it|describe)\.skip\b/).map((line) => line.split(":")[0])).toEqual([
    "test/support/outside-program.ts",
  ]);
});

test("every source file begins with what it is", () => {
  const sources = code.filter((name) =>
    /^(abi|kernel|drivers|guest|host|tools|templates|apps\/[^/]+\/[^/]+\.ts)/.test(name),
  );
  expect(sources.filter((name) => !/^(#!.*\n)?(\/\/|;;) /.test(read(name)))).toEqual([]);
});

/** Turns of phrase that a native engineer would not use, and what to write instead. */
const PHRASES: [RegExp, string][] = [
  [/\b(is|are|was|were|be) told\b(?! to\b)/, "is reported, learns, gets"],
  [/\bso many\b(?! (as|that)\b)/, "this many, a number"],
  [/\b(?<!leaves? (?:\w+ ){0,6})(?<!left )behind\b/, "after (for times), above, past"],
  [/\bits begin\b/, "its beginning"],
  [/\b(were|was) for nothing\b/, "would be wasted"],
  [/\belse it were\b/, "otherwise it would be"],
  [/\bleads? nowhere\b/, "is discarded, is dangling"],
  [/(\/\/|\/\*\*) (What|Who) (?!if\b)/, "a noun and its verb"],
  [
    /\b(test|describe|witness)\b.*\("(([A-Z]+\d+,? ?)+: )?(what|who)(ever)?\b/i,
    "an actor and its verb",
  ],
  [/^\s*\]\)\("(([A-Z]+\d+,? ?)+: )?(what|who)(ever)?\b/i, "an actor and its verb"],
];

test("no phrase that reads as if translated", () => {
  const self = "test/system/tidy.test.ts";
  const prose = files.filter((name) => /\.(ts|mjs|md)$/.test(name) && name !== self);
  const quoting = ["docs/style.md"];
  const found = prose
    .filter((name) => !quoting.includes(name))
    .flatMap((name) =>
      PHRASES.flatMap(([pattern, rather]) =>
        lines([name], pattern).map((line) => `${line}: rather "${rather}"`),
      ),
    );
  expect(found).toEqual([]);
});

describe("the architecture", () => {
  test("wire files hold constants and formulas, and import nothing but each other", () => {
    const wire = files.filter(isWire);
    expect(wire.length).toBeGreaterThan(3);
    expect(
      lines(wire, /^(import .* from "(?!\.\/\w+")|.*\b(class|let|new)\b(?!.*\/\/|.*\*))/),
    ).toEqual([]);
    const statement = /^(\/\/|\/?\s?\*|export (const|function)|import|\s|\}|$)/;
    expect(
      wire.flatMap((name) =>
        read(name)
          .split("\n")
          .filter((one) => !statement.test(one)),
      ),
    ).toEqual([]);
  });

  test("the guest asks the host only in the two files that declare it", () => {
    const declaring = code.filter(
      (name) => isGuest(name) && /^(export )?declare function/m.test(read(name)),
    );
    expect(declaring.sort()).toEqual([
      "kernel/arch/asyncify.ts",
      "kernel/hypercall.ts",
      "kernel/wasi_snapshot_preview1.ts",
    ]);
  });

  test("a class over static memory has all of its bytes: writing past them would change another's", () => {
    const guest = code.filter((name) => isGuest(name) || name.startsWith("test/guest/"));
    expect(lines(guest, /changetype<(\w+)>\(memory\.data\((?!offsetof<\1>\(\)\))/)).toEqual([]);
  });

  test("arch_* names belong to the file that knows how threads switch", () => {
    expect([
      ...new Set(lines(code.filter(isGuest), /function arch_/).map((l) => l.split(":")[0])),
    ]).toEqual(["kernel/arch/asyncify.ts"]);
  });

  test("applications use the kernel, drivers never an application, the host never the guest", () => {
    const imports = (name: string, pattern: RegExp) => pattern.test(read(name));
    const drivers = code.filter((name) => name.startsWith("drivers/"));
    const host = code.filter((name) => name.startsWith("host/"));
    const kernel = code.filter((name) => name.startsWith("kernel/"));
    expect([...drivers, ...kernel].filter((name) => imports(name, /from "[./]*apps\//))).toEqual(
      [],
    );
    const guest = /from "[./]*(kernel\/(?!hypercall)|apps\/|guest\/|drivers\/)/;
    expect(host.filter((name) => imports(name, guest))).toEqual([]);
  });

  test("a device has its wire, its driver, its model and its tests under one name", () => {
    for (const name of ["vsock", "net", "fs"]) {
      const wire = name === "fs" ? "fuse" : name;
      expect(files).toContain(`abi/${wire}.ts`);
      expect(files).toContain(`drivers/${name}.ts`);
      expect(files).toContain(`host/devices/${name}.ts`);
      expect(files.some((file) => file.startsWith(`test/devices/${name}/`))).toBe(true);
      expect(files.some((file) => file.startsWith(`test/drivers/${name}/`))).toBe(true);
    }
  });

  test("guest addresses become unsigned in host/memory.ts and in no other file", () => {
    const others = code.filter((name) => name.startsWith("host/") && name !== "host/memory.ts");
    // Sequence numbers of credit and of TCP are modular u32 arithmetic, not addresses.
    const modular = /vsock\/connection\/credit\.ts$|net\/user\/tcp\/sequence\.ts$/;
    const rest = others.filter((name) => !modular.test(name));
    expect(lines(rest, />>> 0/)).toEqual([]);
  });

  test("decorators stay on classes, but for the runtime and the coverage hook", () => {
    const guest = files.filter((name) => isGuest(name) || name.startsWith("test/guest/"));
    const allowed = ["kernel/rt/stub.ts", "kernel/rt/coverage.ts"];
    const rest = guest.filter((name) => !allowed.includes(name));
    expect(lines(rest, /^\s*@(?!(unmanaged|final)$)\w+/)).toEqual([]);
  });
});

test("no registry host and no machine's path stands in the project", () => {
  const texts = files.filter((name) => !/\.(png|ico|wasm)$/.test(name));
  const self = "test/system/tidy.test.ts";
  const pattern = /registry\.npmjs|\/home\/\w+\/|deb\.debian\.org/;
  expect(
    lines(
      texts.filter((name) => name !== self),
      pattern,
    ),
  ).toEqual([]);
});
