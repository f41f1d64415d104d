// `torito new`: a folder with everything that an application needs, from a template.
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { basename, dirname, join, relative, resolve, sep } from "node:path";
import { PACKAGE_FOLDER, peerVersion } from "../../node/package.ts";
import type { NewCommand } from "../arguments.ts";
import { stdout } from "../streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_UNAVAILABLE, nearest } from "../usage.ts";

const TEMPLATES = join(PACKAGE_FOLDER, "templates");
const SHARED = "shared";
/** npm leaves files of that name out of packages. */
const RENAMED: Readonly<Record<string, string>> = { gitignore: ".gitignore" };
/** Names that may be in the folder before. */
const NO_OBSTACLE = new Set([".git"]);

export function createProject({ directory, template, force }: NewCommand): End {
  const folder = resolve(directory);
  const name = nameOf(folder);
  const source = join(TEMPLATES, known(template));
  const there = existing(folder);
  if (there.length > 0 && !force) {
    const hint = "--force adds to it, and overwrites nothing";
    throw new CliError(`new: ${directory} is not empty (${there[0]}); ${hint}`);
  }
  const written: string[] = [];
  try {
    for (const [file, path] of filesOf(source)) {
      const to = join(folder, file);
      if (existsSync(to)) continue;
      mkdirSync(dirname(to), { recursive: true });
      writeFileSync(to, filled(readFileSync(path, "utf8"), name, folder));
      written.push(file);
    }
  } catch (error) {
    throw new CliError(`new: ${(error as Error).message}`, EXIT_UNAVAILABLE);
  }
  const enter = relative(process.cwd(), folder);
  const commands = [enter === "" ? [] : [`cd ${quoted(enter)}`], "npm install", "npx torito dev"];
  const text = [`${name}: ${written.join(" ")}`, "", ...commands.flat().map((one) => `  ${one}`)];
  void stdout.write(`${text.join("\n")}\n`);
  return asLongAsItTakes(0);
}

/** As npm wants names: lower case, and nothing that would have to be escaped in a URL. */
function nameOf(folder: string): string {
  const name = basename(folder)
    .toLowerCase()
    .replaceAll(/[^a-z0-9._-]+/g, "-")
    .replaceAll(/^[._-]+|-+$/g, "");
  if (name === "" || name.length > 214) {
    throw new CliError(`new: "${basename(folder)}" gives no name for a package`);
  }
  return name;
}

function known(template: string): string {
  const all = readdirSync(TEMPLATES).filter((one) => one !== SHARED);
  if (all.includes(template)) return template;
  const guess = nearest(template, all);
  const hint = guess === null ? "" : `; did you mean ${guess}?`;
  throw new CliError(`new: no template "${template}"; there are ${all.join(", ")}${hint}`);
}

function existing(folder: string): string[] {
  try {
    return readdirSync(folder).filter((name) => !NO_OBSTACLE.has(name));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    if (code === "ENOTDIR") throw new CliError(`new: ${folder} is a file`);
    throw new CliError(`new: ${message}`, EXIT_UNAVAILABLE);
  }
}

/** Files of a template, and those of all templates: names in the project, and where they are. */
function filesOf(template: string): [string, string][] {
  const folders = [template, join(TEMPLATES, SHARED)];
  const found = folders.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(folder, name)).isFile())
      .map((name): [string, string] => [
        RENAMED[name] ?? name.replaceAll(sep, "/"),
        join(folder, name),
      ]),
  );
  return found.sort(([a], [b]) => (a < b ? -1 : 1));
}

/** The package is named by its folder: what made the project also builds it. */
function filled(text: string, name: string, folder: string): string {
  const path = relative(folder, PACKAGE_FOLDER).replaceAll(sep, "/");
  return text
    .replaceAll("{{name}}", name)
    .replaceAll("{{torito}}", `file:${path}`)
    .replaceAll("{{assemblyscript}}", peerVersion("assemblyscript"));
}

function quoted(path: string): string {
  return /^[\w./@+-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
