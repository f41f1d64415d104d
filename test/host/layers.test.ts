// The layers within the host: core, ports and what Node does for them. Values and types alike.
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

describe("imports of the host", () => {
  const isNode = (name: string) => /^host\/(node|cli)\/|^host\/(cli|index)\.ts$/.test(name);

  test("the core imports neither Node nor its adapters", () => {
    const core = [...graph].filter(([file]) => !isNode(file));
    expect(core.length).toBeGreaterThan(80);
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

  test("HTTP, sockets and files in memory know no machine and no device of their own", () => {
    const wrong = [...graph].flatMap(([file, imports]) =>
      /^host\/(http|sockets|files)\//.test(file)
        ? imports
            .filter((name) => /^host\/(machine|bus|mmio|plug)\.ts|^host\/devices\//.test(name))
            .map((name) => `${file}: ${name}`)
        : [],
    );
    expect(wrong).toEqual([]);
  });
});
