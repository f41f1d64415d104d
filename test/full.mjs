// npm run test:full: all tests with the coverage of host code, a short run of every benchmark, a
// soak of three minutes, the API reference, and the quick tests on later versions of Node, which
// come from npm's package `node`.
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

const NODES = ["22", "24", "26"];

/** @param {string} name @param {string[]} command @param {NodeJS.ProcessEnv} [env] */
function step(name, command, env = process.env) {
  console.log(`\n== ${name}`);
  const { status } = spawnSync(command[0], command.slice(1), { stdio: "inherit", env });
  if (status === 0) return;
  console.error(`test:full: ${name} failed`);
  process.exit(1);
}

/** @param {string} version @param {string} folder */
function quickOn(version, folder) {
  writeFileSync(join(folder, "package.json"), "{}");
  const install = ["npm", "install", "--prefix", folder, "--no-audit", "--no-fund"];
  step(`installing Node ${version}`, [...install, `node@${version}`]);
  const path = `${join(folder, "node_modules/node/bin")}${delimiter}${process.env.PATH}`;
  const env = { ...process.env, PATH: path };
  step(`Node ${version}: which`, ["node", "--version"], env);
  step(`Node ${version}: quick tests`, ["npm", "run", "test:quick"], env);
}

step("all tests, with coverage", ["npx", "vitest", "run", "--coverage"], {
  ...process.env,
  TORITO_TEST: "full",
});
step("every benchmark, as short as can be", [
  ...[process.execPath, "bench/run.mjs"],
  ...["--rounds", "1", "--scale", "0.01"],
]);
step("soak", ["npm", "run", "soak", "--", "--minutes", "3"]); // the first one warms up
step("API reference", ["npm", "run", "docs"]);
for (const version of NODES) {
  const folder = mkdtempSync(join(tmpdir(), `torito-node-${version}-`));
  try {
    quickOn(version, folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
