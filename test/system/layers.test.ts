// Which folder may import which, and that no files import each other in a circle.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";

const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { encoding: "utf8" });
const files = listed
  .split("\n")
  .filter(
    (name) =>
      /^(abi|apps|drivers|guest|host|kernel|templates)\/.*\.ts$/.test(name) && existsSync(name),
  );

const WHERE = '"((?:\\.|torito/)[^"]+)"';
const SPECIFIER = new RegExp(`^(?:import|export)\\b[^"';]*?from ${WHERE}|^import ${WHERE}`, "gm");

/** Files that `source` in `file` imports, types included. `torito/` is this package. */
function importsOf(file: string, source: string): string[] {
  return [...source.matchAll(SPECIFIER)].map(([, from, bare]) => {
    const name = (from ?? bare) as string;
    const path = name.startsWith(".")
      ? posix.join(posix.dirname(file), name)
      : name.replace(/^torito\//, "").replace(/^guest$/, "guest/index");
    return path.endsWith(".ts") ? path : `${path}.ts`;
  });
}

const imports = new Map(files.map((file) => [file, importsOf(file, readFileSync(file, "utf8"))]));

/** `file -> imported`, for imports out of `from` that `allowed` does not match. */
function offences(from: RegExp, allowed: RegExp): string[] {
  return [...imports].flatMap(([file, targets]) =>
    from.test(file)
      ? targets.filter((to) => !allowed.test(to)).map((to) => `${file} -> ${to}`)
      : [],
  );
}

/** Groups of files that import each other (Tarjan's strongly connected components). */
function circles(graph: ReadonlyMap<string, readonly string[]>): string[][] {
  const order = new Map<string, number>();
  const low = new Map<string, number>();
  const stack: string[] = [];
  const found: string[][] = [];
  const visit = (file: string): void => {
    order.set(file, order.size);
    low.set(file, order.get(file) as number);
    stack.push(file);
    for (const to of graph.get(file) ?? []) {
      if (!graph.has(to)) continue;
      if (!order.has(to)) visit(to);
      if (stack.includes(to)) {
        low.set(file, Math.min(low.get(file) as number, low.get(to) as number));
      }
    }
    if (low.get(file) !== order.get(file)) return;
    const group = stack.splice(stack.indexOf(file));
    if (group.length > 1 || graph.get(file)?.includes(file)) found.push(group.sort());
  };
  for (const file of graph.keys()) if (!order.has(file)) visit(file);
  return found;
}

test("the reader of imports sees all of them", () => {
  const source =
    'import { a } from "./a";\nexport {\n  b,\n} from "../b.ts";\nimport "./c";\n' +
    'import { d } from "torito/kernel/api";\nimport { e } from "torito/guest";\n';
  expect(importsOf("x/y.ts", source)).toEqual([
    "x/a.ts",
    "b.ts",
    "x/c.ts",
    "kernel/api.ts",
    "guest/index.ts",
  ]);
  expect([...imports.values()].flat().length).toBeGreaterThan(500);
  expect([...imports].flatMap(([, targets]) => targets.filter((to) => !existsSync(to)))).toEqual(
    [],
  );
});

test("a circle is found, of two files, of three, and of one", () => {
  const graph = new Map([
    ["a", ["b"]],
    ["b", ["a", "c"]],
    ["c", ["c"]],
    ["d", ["a"]],
  ]);
  expect(circles(graph)).toEqual([["c"], ["a", "b"]]);
});

test("no files import each other in a circle", () => {
  expect(circles(imports)).toEqual([]);
});

/** Services that every part of the guest uses. */
const SERVICES =
  "clock|console|handle|hypercall|interrupt|iovec|list|memory|panic|scheduler|std|thread|timer|trace";

describe("each folder imports only what is below it", () => {
  test.each([
    ["the wire", /^abi\//, /^abi\//],
    [
      "drivers: the wire, services of the kernel, and packets",
      /^drivers\//,
      new RegExp(`^(abi|drivers)/|^kernel/(${SERVICES})\\.ts$|^kernel/net/link/`),
    ],
    [
      "packets: no driver, no socket",
      /^kernel\/net\/link\//,
      /^abi\/|^kernel\/(\w+\.ts$|net\/link\/)/,
    ],
    [
      "TCP/IP below sockets: packets, no driver, no socket",
      /^kernel\/net\/inet\/(?!tcp\/|input\.ts$|udp\/(sockets|calls)\.ts$)/,
      /^abi\/|^kernel\/(\w+\.ts$|net\/(link|inet)\/)/,
    ],
    [
      "transports of sockets: packets, TCP/IP and sockets, no driver",
      /^kernel\/net\/inet\//,
      /^abi\/|^kernel\/(\w+\.ts$|net\/)/,
    ],
    [
      "sockets: no driver",
      /^kernel\/net\/socket\//,
      /^abi\/|^kernel\/(\w+\.ts$|net\/(link|socket)\/)/,
    ],
    ["files: no driver, no socket", /^kernel\/fs\//, /^abi\/|^kernel\/(\w+\.ts$|fs\/|fuse\/)/],
    ["FUSE: no path, no node", /^kernel\/fuse\//, /^(abi|drivers)\/|^kernel\/(\w+\.ts$|fuse\/)/],
    [
      "the kernel: no application, no library of applications",
      /^kernel\//,
      /^(abi|kernel|drivers)\//,
    ],
    ["the library: the doors, and itself", /^guest\//, /^(guest\/|kernel\/(api|internet)\.ts$)/],
    [
      "the host: the wire, and the declaration of hypercalls",
      /^host\//,
      /^(host|abi)\/|^kernel\/hypercall\.ts$/,
    ],
    [
      "snapshots: the core of the host, no platform",
      /^host\/snapshot\//,
      /^abi\/|^host\/(?!node\/|cli\/|cli\.ts|index\.ts)/,
    ],
  ])("%s", (_, from, allowed) => {
    expect(offences(from, allowed)).toEqual([]);
  });

  test("a template: the library, the door, the drivers' services, and itself", () => {
    const door = "guest/|kernel/api\\.ts$|drivers/virt(io|queue)\\.ts$";
    const found = ["device", "echo", "files", "hello", "http"].flatMap((name) =>
      offences(new RegExp(`^templates/${name}/`), new RegExp(`^(${door}|templates/${name}/)`)),
    );
    expect(found).toEqual([]);
  });

  test("an application: the doors, the library, itself, and WebServer the table of its site", () => {
    const apps = [...new Set(files.flatMap((file) => /^apps\/[^/]+\//.exec(file)?.[0] ?? []))];
    expect(apps.length).toBeGreaterThan(5);
    const table = (app: string) => (app === "apps/web-server/" ? "abi/site\\.ts$|" : "");
    const found = apps.flatMap((app) =>
      offences(
        new RegExp(`^${app}`),
        new RegExp(`^(guest/|kernel/(api|internet)\\.ts$|${table(app)}${app})`),
      ),
    );
    expect(found).toEqual([]);
  });
});
