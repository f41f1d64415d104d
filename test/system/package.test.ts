// The package as npm would publish it, installed into an empty folder: it starts from prebuilt
// images, without the compiler.
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";

afterAll(removeFolders);

let folder: string | undefined;
/** The package as it would be published, installed into a folder of its own, once. */
function install(): string {
  if (folder !== undefined) return folder;
  const packed = makeFolder();
  const installed = makeFolder();
  const npm = (args: string[], cwd: string) =>
    execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  // Whoever runs the tests has built before.
  npm(["pack", "--ignore-scripts", "--pack-destination", packed], resolve("."));
  const tarball = join(packed, readdirSync(packed)[0] as string);
  writeFileSync(`${installed}/package.json`, '{ "type": "module" }');
  npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], installed);
  folder = installed;
  return installed;
}

test("npm publish would publish what README speaks of, and nothing that only developers need", () => {
  const words = ["publish", "--dry-run", "--ignore-scripts", "--json"];
  const out = execFileSync("npm", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const [{ files }] = Object.values(JSON.parse(out)) as [{ files: { path: string }[] }];
  const paths = files.map(({ path }) => path);
  const linked = [...readFileSync("README.md", "utf8").matchAll(/\]\((?!https?:)([^)#]+)\)/g)];
  const wanted = [...linked.map(([, path]) => path as string), "dist/host/cli.js", "LICENSE"];
  expect([...wanted, "build/web-server.wasm"].filter((path) => !paths.includes(path))).toEqual([]);
  expect(
    paths.filter((path) => /^(test|tools|kernel|host|drivers|build\/test)\//.test(path)),
  ).toEqual([]);
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

test("the published types hold in every resolution, declarations of libraries included", () => {
  const installed = install();
  symlinkSync(resolve("node_modules/@types"), `${installed}/node_modules/@types`);
  const source = `
    import { FsDevice, Machine, type MachineOptions, VsockDevice } from "torito";
    const devices = [new VsockDevice({ cid: 3 }), new FsDevice({ directory: ".", tag: "site" })];
    const options: MachineOptions = { image: new Uint8Array(8), devices };
    export const machine: Promise<Machine> = Machine.create(options);
    type u32 = "the user's own";
    export const own: u32 = "the user's own";
  `;
  writeFileSync(`${installed}/user.ts`, source);
  const wrong =
    'import type { MachineOptions } from "torito";\nexport const it: MachineOptions = {};';
  writeFileSync(`${installed}/wrong.ts`, wrong);
  const tsc = resolve("node_modules/.bin/tsc");
  for (const [module, resolution] of [
    ["node16", "node16"],
    ["nodenext", "nodenext"],
    ["esnext", "bundler"],
  ]) {
    const options = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2022"];
    const kind = ["--module", module as string, "--moduleResolution", resolution as string];
    const check = (file: string) =>
      spawnSync(tsc, [...options, ...kind, file], { cwd: installed, encoding: "utf8" }).stdout;
    expect(check("user.ts"), resolution).toBe("");
    expect(check("wrong.ts"), resolution).toContain("'image' is missing");
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
