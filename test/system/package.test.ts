// The package as npm would publish it, installed into an empty folder: it starts from prebuilt
// images, without the compiler.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { startWith } from "../support/command.ts";
import { checkTypes, install } from "../support/installed.ts";
import { fetchText, installInto } from "../support/project.ts";

afterAll(removeFolders);

test("npm publish would publish what README speaks of, and nothing that only developers need", () => {
  const words = ["publish", "--dry-run", "--ignore-scripts", "--json"];
  const out = execFileSync("npm", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  interface Packed {
    readonly files: readonly { readonly path: string }[];
    readonly size: number;
    readonly unpackedSize: number;
  }
  const [{ files, size, unpackedSize }] = Object.values(JSON.parse(out)) as [Packed];
  const paths = files.map(({ path }) => path);
  const linked = [...readFileSync("README.md", "utf8").matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
  const wanted = [...linked.map(([, path]) => path as string), "dist/host/cli.js", "LICENSE"];
  expect([...wanted, "build/web-server.wasm"].filter((path) => !paths.includes(path))).toEqual([]);
  const sources =
    "(test|host|bench/(?!results)|tools/(build|bundle|declarations|types|reference)|build/test)";
  expect(paths.filter((path) => new RegExp(`^${sources}\\b`).test(path))).toEqual([]);
  expect(size).toBeLessThan(3_000_000);
  expect(unpackedSize).toBeLessThan(10_000_000);
});

test("npm pack, installed elsewhere, serves a directory and exports the library", async () => {
  const installed = install();
  expect(existsSync(`${installed}/node_modules/assemblyscript`)).toBe(false);

  const site = makeFolder();
  writeFileSync(`${site}/index.html`, "from the package");
  const bin = `${installed}/node_modules/.bin/torito`;
  const child = spawn(bin, ["serve", site, "-p", "0:80"], { stdio: ["ignore", "ignore", "pipe"] });
  let log = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  await until(() => /ready in/.test(log) || child.exitCode !== null);
  const url = /http:\S+/.exec(log)?.[0] as string;
  expect(await (await fetch(url)).text()).toBe("from the package");
  const ended = new Promise((resolve) => child.on("exit", resolve));
  child.kill("SIGTERM");
  expect(await ended).toBe(0);

  const script = 'import("torito").then(({ Machine }) => console.log(typeof Machine.create))';
  const out = execFileSync(process.execPath, ["-e", script], { cwd: installed, encoding: "utf8" });
  expect(out).toBe("function\n");
});

/** The installed command. */
function run(cwd: string, ...words: string[]) {
  const cli = join(install(), "node_modules/torito/dist/host/cli.js");
  return startWith({ cwd, cli }, ...words);
}

/** A project that the installed package has made, and the compiler, as npm would install it. */
async function makeApi(name: string): Promise<string> {
  installInto(install(), "assemblyscript");
  expect((await run(install(), "new", name, "-t", "http").end).code).toBe(0);
  return join(install(), name);
}

test("A12 an appliance is made, tested, built and served from nothing but the package", async () => {
  const folder = await makeApi("my-api");
  const tested = await run(folder, "test").end;
  expect(tested).toMatchObject({ code: 0, out: expect.stringContaining(" passed, 0 failed") });
  const built = await run(folder, "build").end;
  expect(built).toMatchObject({ code: 0, err: expect.stringMatching(/^build\/main\.wasm/) });
  const dev = run(folder, "dev", "-p", "0:80");
  const [, port] = await dev.until(/ready {2}http:\/\/127\.0\.0\.1:(\d+)\//);
  expect(JSON.parse(await fetchText(Number(port), "/notes"))).toEqual([]);
  dev.child.kill("SIGINT");
  expect((await dev.end).code).toBe(0);
  // The package is two folders up, and is found in an editor too.
  const tsc = resolve("node_modules/.bin/tsc");
  expect(spawnSync(tsc, ["-p", folder], { encoding: "utf8" }).stdout).toBe("");
});

test("torito/test compiles an application, boots it and runs its tests", async () => {
  const installed = install();
  await makeApi("tested");
  const script = `
    import { VsockDevice } from "torito";
    import { bootGuest, compile, runTest, testsOf } from "torito/test";
    const folder = "tested";
    const image = await compile("src/notes.test.ts", "test", { folder });
    console.log(testsOf(image).length, (await runTest(image, testsOf(image)[0])).length);
    const app = await compile("src/main.ts", "debug", { folder });
    const guest = await bootGuest(app, { devices: [new VsockDevice()] });
    guest.advance(10);
    console.log(guest.console.join("").includes("listening on vsock port 80"));
    guest.machine.dispose();
  `;
  writeFileSync(`${installed}/script.mjs`, script);
  const out = execFileSync(process.execPath, ["script.mjs"], { cwd: installed, encoding: "utf8" });
  expect(out).toBe("2 0\ntrue\n");
});

test("the published types hold in every resolution, declarations of libraries included", () => {
  const installed = install();
  const source = `
    import { bootGuest, compile, runTest, testsOf } from "torito/test";
    import { FsDevice, Machine, type MachineOptions, MemoryFiles, VsockDevice } from "torito";
    const vsock = new VsockDevice({ cid: 3 });
    const files = new MemoryFiles({ "index.html": "hello" });
    const devices = [vsock, new FsDevice({ directory: "/", tag: "site", files })];
    const image = new URL(import.meta.resolve("torito/images/web-server.wasm"));
    const options: MachineOptions = { image, devices };
    export async function serve(): Promise<string> {
      await using machine: Machine = await Machine.create(options);
      machine.boot();
      const { readable, writable } = await vsock.connect(80, { signal: AbortSignal.timeout(1) });
      await writable.getWriter().write(new Uint8Array(1));
      vsock.createConnection(80).on("connect", () => {}).end("bytes");
      for await (const part of readable) part satisfies Uint8Array;
      const response = await machine.fetch("http://guest/", { method: "HEAD", guestPort: 80 });
      return response.text();
    }
    export async function tested(): Promise<string[]> {
      const { wasm, map } = await compile("src/main.test.ts", "test", { folder: "app" });
      const guest = await bootGuest({ wasm, map }, { memoryBytes: 1 << 24 });
      guest.advance(5, () => guest.machine.ended);
      return runTest({ wasm, map }, testsOf({ wasm })[0] ?? "");
    }
    type u32 = "the user's own";
    export const own: u32 = "the user's own";
  `;
  writeFileSync(`${installed}/user.ts`, source);
  const wrong =
    'import type { MachineOptions } from "torito";\nexport const it: MachineOptions = {};';
  writeFileSync(`${installed}/wrong.ts`, wrong);
  for (const [module, resolution] of [
    ["node16", "node16"],
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ] as const) {
    expect(checkTypes(module, resolution, ["user.ts"]), resolution).toBe("");
    expect(checkTypes(module, resolution, ["wrong.ts"])).toContain("'image' is missing");
  }
});

test("torito/browser holds types in every resolution, and bundles with the conditions of a browser", async () => {
  const installed = install();
  const source = `
    import { createMachine, FsDevice, PortSockets } from "torito/browser/machine";
    import { readTar, VsockDevice } from "torito/browser/machine";
    import { endText, offerMachine, WorkerMachine } from "torito/browser";
    import type { WorkerMachineOptions } from "torito/browser";
    export async function boot(worker: Worker, options: WorkerMachineOptions): Promise<string> {
      const machine = await WorkerMachine.boot(worker, options, { console: (text) => text.trim() });
      const container = navigator.serviceWorker;
      const registration = await container.register("sw.js", { scope: "site/" });
      const switchboard = async () => machine.switchboard();
      const offered = { container, registration, machine: "m", isIsolated: false };
      const url = await offerMachine({ ...offered, switchboard });
      const response = await machine.fetch(url, { guestPort: 80 });
      return (await response.text()) + endText(await machine.exited);
    }
    export function here(image: Uint8Array<ArrayBuffer>, tar: Uint8Array) {
      const vsock = new VsockDevice({ sockets: new PortSockets() });
      const site = new FsDevice({ directory: "/", tag: "site", files: readTar(tar) });
      return createMachine({ image, devices: [vsock, site], parameters: "root=site" });
    }
  `;
  writeFileSync(`${installed}/tab.ts`, source);
  for (const [module, resolution] of [
    ["node16", "node16"],
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ] as const) {
    expect(checkTypes(module, resolution, ["tab.ts"]), resolution).toBe("");
  }
  for (const from of ["torito/browser/machine", "torito"]) {
    const contents = `export { createMachine } from "${from}";`;
    const { outputFiles } = await build({
      stdin: { contents, resolveDir: installed },
      ...{ bundle: true, platform: "browser", format: "esm", write: false, logLevel: "silent" },
    });
    expect(outputFiles[0]?.text).toContain("createMachine");
  }
  const scripts = ["worker", "service-worker"].map((name) => {
    const script = `process.stdout.write(import.meta.resolve("torito/browser/${name}"))`;
    const words = ["--input-type=module", "-e", script];
    return new URL(execFileSync(process.execPath, words, { cwd: installed, encoding: "utf8" }));
  });
  const [worker, serviceWorker] = scripts as [URL, URL];
  expect(readFileSync(serviceWorker, "utf8")).not.toMatch(/^(import|export) /m);
  const parts = readFileSync(worker, "utf8").match(/"\.\/parts\/[\w-]+\.js"/g) ?? [];
  expect(parts).toEqual(['"./parts/machine.js"']);
  const machine = readFileSync(new URL("parts/machine.js", worker), "utf8");
  for (const [, part] of machine.matchAll(/import\([`"](\.\/[\w-]+\.js)[`"]\)/g)) {
    expect(existsSync(new URL(part as string, new URL("parts/", worker))), part).toBe(true);
  }
});

test("the lock file is complete: it names what any platform installs, in exact versions", () => {
  const lock = JSON.parse(readFileSync("package-lock.json", "utf8")) as {
    packages: Record<string, Record<string, Record<string, string>>>;
  };
  const missing: string[] = [];
  for (const [path, one] of Object.entries(lock.packages)) {
    const wanted = { ...one.dependencies, ...one.optionalDependencies, ...one.devDependencies };
    for (const name of Object.keys(wanted)) {
      // As node resolves it: in the package's own folder, or in one around it.
      let at = path;
      while (!(`${at}${at && "/"}node_modules/${name}` in lock.packages) && at !== "") {
        at = at.replace(/(^|\/)node_modules\/(@[^/]+\/)?[^/]+$/, "");
      }
      if (!(`${at}${at && "/"}node_modules/${name}` in lock.packages)) missing.push(name);
    }
  }
  expect(missing).toEqual([]);
  const manifest = JSON.parse(readFileSync("package.json", "utf8"));
  const direct = { ...manifest.dependencies, ...manifest.devDependencies };
  for (const [name, version] of Object.entries(direct)) {
    expect(version, name).toMatch(/^\d+\.\d+\.\d+$/);
    expect(lock.packages[`node_modules/${name}`]?.version, name).toBe(version);
  }
});
