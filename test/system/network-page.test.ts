// docs/network.md: its program prints what the page says. It runs in a folder of the project, where
// the package finds itself.
import { execFileSync, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { transform } from "esbuild";
import { afterAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { linuxWitness } from "../support/outside-program.ts";

afterAll(removeFolders);

const PAGE = readFileSync("docs/network.md", "utf8");
const PROGRAM = /^```ts (\S+)\n([\s\S]*?)^```\n\n```text\n([\s\S]*?)^```$/gm;
const programs = [...PAGE.matchAll(PROGRAM)].map(
  ([, name = "", source = "", output = ""]) => [name, source, output] as const,
);

test("every program of the page has its output", () => {
  expect(PAGE.match(/^```ts \S/gm)).toHaveLength(programs.length);
});

test.each(programs)("%s prints what the page says", async (name, source, output) => {
  const { code } = await transform(source, { loader: "ts", target: "node20", format: "esm" });
  mkdirSync("build/test", { recursive: true });
  const file = `build/test/${name.replace(/\.ts$/, "")}-${process.pid}.mjs`;
  writeFileSync(file, code);
  expect(execFileSync(process.execPath, [file], { encoding: "utf8" })).toBe(output);
});

/** passt takes it for the host's network, with a router that is not there. */
const NAMESPACE = `
ip link set lo up
ip link add up0 type veth peer name up1 && ip link set up1 up
ip addr add 198.51.100.2/24 dev up0 && ip link set up0 up
ip route add default via 198.51.100.1
`;

/** The commands of the page, in a namespace, as a shell script with `torito` as a function. */
function passtScript(): string {
  const [, commands = ""] = /^```sh passt\n([\s\S]*?)^```$/m.exec(PAGE) ?? [];
  const cli = `torito() { "${process.execPath}" "${resolve("dist/host/cli.js")}" "$@"; }`;
  const image = resolve("build/nc.wasm");
  const here = commands.replace("apps/nc", image).replace("ROUTER", "198.51.100.1");
  return `${NAMESPACE}${cli}\n${here}\nwait\nwc -c <received`;
}

const title = "the commands for passt move a megabyte";
const run = async () => {
  const folder = makeFolder();
  writeFileSync(join(folder, "run.sh"), passtScript());
  const words = ["--map-root-user", "--net", "sh", "run.sh"];
  const { stdout, stderr } = spawnSync("unshare", words, { cwd: folder, encoding: "utf8" });
  expect(stdout, stderr).toMatch(/^1000000$/m);
};
linuxWitness(title, run, "passt", "nc");
