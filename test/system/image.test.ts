// The built images: what they import and export, their size, their names, and that hot code in them
// is not instrumented.
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import wabtInit from "wabt";
import { RESERVED_BYTES } from "../../abi/boot.ts";
import { compile, FLAGS } from "../../tools/compile.mjs";
import { frames, leaves, upcalls } from "../../tools/leaves.mjs";
import { FEATURES } from "../support/wat.ts";

const wabt = await wabtInit();
const names = ["web-server", "hello-world", "kernel"];
const read = (name: string) => new Uint8Array(readFileSync(`build/${name}.wasm`));
const modules = new Map(names.map((name) => [name, new WebAssembly.Module(read(name))]));

const ENTRY_POINTS = ["_initialize", "boot", "fault", "interrupt", "run"];
const isAsyncify = (name: string) => name.startsWith("asyncify_");

/** The image as text, with the names of its name section. */
function textOf(name: string): string {
  const module = wabt.readWasm(read(name), { readDebugNames: true, ...FEATURES });
  module.generateNames();
  module.applyNames();
  const text = module.toText({ foldExprs: false, inlineExport: false });
  module.destroy();
  return text;
}

/** Bodies by function name. */
function functionsOf(text: string): Map<string, string> {
  const bodies = text.split(/\n {2}\(func \$/).slice(1);
  return new Map(bodies.map((body) => [body.split(/[\s()]/, 1)[0] as string, body]));
}

describe.each(names)("%s.wasm", (name) => {
  test("imports its memory, hypercalls and firmware, and nothing else", () => {
    const imports = WebAssembly.Module.imports(modules.get(name)!);
    const allowed: Record<string, RegExp> = {
      env: /^memory$/,
      hypercall: /^(mmioRead|mmioWrite|clock|panic|fault)$/,
      wasi_snapshot_preview1: /^(fd_write|clock_time_get|random_get|proc_exit)$/,
    };
    for (const one of imports) expect(one.name).toMatch(allowed[one.module]!);
  });

  test("exports its memory and the entry points", () => {
    const exported = WebAssembly.Module.exports(modules.get(name)!).map((one) => one.name);
    expect(exported).toEqual(expect.arrayContaining(["memory", ...ENTRY_POINTS]));
  });

  test("carries names, and its source map lies beside it", () => {
    const module = modules.get(name)!;
    expect(WebAssembly.Module.customSections(module, "name")).toHaveLength(1);
    expect(WebAssembly.Module.customSections(module, "sourceMappingURL")).toHaveLength(1);
    const map = JSON.parse(readFileSync(`build/${name}.wasm.map`, "utf8"));
    expect(map.sources).toContain("torito/kernel/scheduler.ts");
    for (const source of map.sources) {
      if (/^~lib\/|^torito:entry/.test(source)) continue;
      expect(existsSync(source.replace(/^torito\//, "")), source).toBe(true);
    }
  });
});

// Inlined into a caller they would change what Asyncify takes it for.
test.each(names)("the switch functions of %s.wasm are out of line", (name) => {
  const functions = functionsOf(textOf(name));
  for (const one of ["arch_enter", "arch_leave"]) {
    expect(functions.has(`~lib/torito/kernel/arch/asyncify/${one}`), one).toBe(true);
  }
});

test("static data begin above the data that the host leaves at boot", () => {
  expect(FLAGS[FLAGS.indexOf("--memoryBase") + 1]).toBe(String(RESERVED_BYTES));
});

test("WebServer is below 250 KB without its name section", () => {
  const module = modules.get("web-server")!;
  const names = WebAssembly.Module.customSections(module, "name")[0]!.byteLength;
  expect(read("web-server").length - names).toBeLessThan(250_000);
});

/** The kernel's public calls, as its image exports them. */
function exportedCalls(): string[] {
  const names = [...textOf("kernel").matchAll(/\(export "([^"]+)" \(func/g)].map(
    (match) => match[1] as string,
  );
  const others = [...ENTRY_POINTS, "unfinished"];
  return names.filter((name) => !others.includes(name) && !isAsyncify(name)).sort();
}

test("the kernel image exports the calls of the table in docs/calls.md, and no others", () => {
  const page = readFileSync("docs/calls.md", "utf8");
  const table = /<!-- calls -->([\s\S]*?)<!-- \/calls -->/.exec(page)![1] as string;
  const documented = [...table.matchAll(/`(\w+)`/g)].map((match) => match[1] as string);
  expect(documented.sort()).toEqual(exportedCalls());
});

test("the sample site's page of calls names all of them, and no others", () => {
  const page = readFileSync("apps/web-server/site/calls.html", "utf8");
  const documented = [...page.matchAll(/<dt><code><b>(\w+)<\/b>/g)].map(
    (match) => match[1] as string,
  );
  expect(documented.sort()).toEqual(exportedCalls());
});

test("hot functions of WebServer are in the image and not instrumented", () => {
  const functions = functionsOf(textOf("web-server"));
  const state = /global\.get (\$[^\s)]+)/.exec(functions.get("asyncify_get_state")!)![1] as string;
  const readsState = (body: string) => body.includes(`global.get ${state}\n`);
  // The check itself can tell: what waits is instrumented.
  expect(readsState(functions.get("apps/web-server/connection/serveConnection")!)).toBe(true);
  for (const leaf of leaves) {
    // wabt writes what is not part of an identifier as `_`.
    const body = functions.get(leaf.replace(/[^\w!#$%&'*+\-./:<=>?@\\^`|~]/g, "_"));
    expect(body, leaf).toBeDefined();
    expect(readsState(body!), leaf).toBe(false);
  }
});

test("functions that the build treats apart are in an image, under the names that it has", () => {
  const images = ["web-server", "ping"].map((name) => functionsOf(textOf(name)));
  const isIn = (name: string) => images.some((functions) => functions.has(name));
  expect([...frames, ...upcalls].filter((name) => !isIn(name))).toEqual([]);
});

describe("the build", () => {
  const failure = (compiled: Promise<unknown>) =>
    compiled.then(
      () => "it compiled",
      (error: Error) => error.message,
    );

  test("refuses a leaf that may yield", async () => {
    const leaf = "~lib/torito/kernel/scheduler/block";
    const compiled = compile("apps/hello-world/main.ts", "release", { leaves: [leaf] });
    expect(await failure(compiled)).toMatch(
      "torito/kernel/scheduler/block must be a leaf, but may yield",
    );
  });
});
