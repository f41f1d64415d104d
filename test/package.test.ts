// The package as npm would publish it, installed into an empty folder: it starts from prebuilt
// images, without the compiler.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, expect, test } from "vitest";
import { makeFolder, removeFolders, until } from "./appliance.ts";

afterAll(removeFolders);

test("npm pack, installed elsewhere, serves a directory and exports the library", async () => {
  const packed = makeFolder();
  const installed = makeFolder();
  const npm = (args: string[], cwd: string) =>
    execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  // Whoever runs the tests has built before.
  npm(["pack", "--ignore-scripts", "--pack-destination", packed], resolve("."));
  const tarball = join(packed, readdirSync(packed)[0] as string);
  writeFileSync(`${installed}/package.json`, '{ "type": "module" }');
  npm(["install", "--prefer-offline", "--no-audit", "--no-fund", tarball], installed);
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
