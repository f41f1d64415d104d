// The layers of the host: which files may import which, values and types alike.
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";

const files = readdirSync("host", { recursive: true, encoding: "utf8" })
  .map((name) => `host/${name.replaceAll("\\", "/")}`)
  .filter((name) => name.endsWith(".ts") && !name.endsWith(".d.ts"));

const IMPORT = /(?:\bfrom\s+|\bimport\s*\(?\s*)"([^"]+)"/g;

function importsOf(file: string): string[] {
  const found = readFileSync(file, "utf8").matchAll(IMPORT);
  return Array.from(found, ([, path = ""]) =>
    path.startsWith(".") ? posix.join(posix.dirname(file), path) : path,
  );
}

const graph = new Map(files.map((file) => [file, importsOf(file)]));

/** Files that reach each other: strongly connected components of more than one (Tarjan). */
function circles(of: ReadonlyMap<string, readonly string[]>): string[][] {
  const found: string[][] = [];
  const index = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const visit = (file: string): void => {
    index.set(file, index.size);
    low.set(file, index.size - 1);
    stack.push(file);
    for (const next of of.get(file) ?? []) {
      if (!of.has(next)) continue;
      if (!index.has(next)) visit(next);
      else if (!stack.includes(next)) continue;
      low.set(file, Math.min(low.get(file) as number, low.get(next) as number));
    }
    if (low.get(file) !== index.get(file)) return;
    const component = stack.splice(stack.indexOf(file));
    if (component.length > 1) found.push(component.sort());
  };
  for (const file of of.keys()) if (!index.has(file)) visit(file);
  return found;
}

describe("imports of the host", () => {
  test("the search finds a circle", () => {
    const of = new Map(Object.entries({ a: ["b"], b: ["c", "d"], c: ["a"], d: ["b"], e: ["a"] }));
    expect(circles(of)).toEqual([["a", "b", "c", "d"]]);
  });

  test("no files import each other in a circle", () => {
    expect(files.length).toBeGreaterThan(100);
    expect(circles(graph)).toEqual([]);
  });

  const isNode = (name: string) => /^host\/(node|cli)\/|^host\/(cli|index)\.ts$/.test(name);

  test("the core imports neither Node nor its adapters", () => {
    const core = [...graph].filter(([file]) => !isNode(file));
    const wrong = core.flatMap(([file, imports]) =>
      imports
        .filter((name) => isNode(name) || !/^(host|abi|kernel)\//.test(name))
        .map((name) => `${file}: ${name}`),
    );
    expect(wrong).toEqual([]);
  });

  test("ports import nothing but each other", () => {
    const ports = [...graph].filter(([file]) => file.startsWith("host/ports/"));
    expect(ports.length).toBeGreaterThan(3);
    const names = ports.flatMap(([, imports]) => imports);
    expect(names.filter((name) => !name.startsWith("host/ports/"))).toEqual([]);
  });

  test("devices import no machine, and no device imports another", () => {
    const wrong = [...graph].flatMap(([file, imports]) => {
      const device = /^host\/devices\/(\w+)/.exec(file)?.[1];
      if (device === undefined) return [];
      const other = new RegExp(`^host/(machine|bus|mmio)\\.ts|^host/devices/(?!${device}\\b)`);
      return imports.filter((name) => other.test(name)).map((name) => `${file}: ${name}`);
    });
    expect(wrong).toEqual([]);
  });
});
