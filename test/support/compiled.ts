// Images for tests. Many test files use the same one, and each runs in a process of its own: an
// image is compiled once and kept in build/test, by the hash of its sources.
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { compile } from "../../tools/compile.mjs";

type Compiled = Awaited<ReturnType<typeof compile>>;
export type Options = NonNullable<Parameters<typeof compile>[2]>;

export const IMAGES_FOLDER = "build/test";
const SOURCES = ["abi", "apps", "drivers", "guest", "kernel", "test/guest", "tools"];
const SETTINGS = ["package-lock.json"];

let sources: string | undefined;

/** Of everything that an image can be made from. */
function hashOfSources(): string {
  const hash = createHash("sha256");
  const found = SOURCES.flatMap((folder) =>
    readdirSync(folder, { recursive: true, encoding: "utf8" }).map((name) => join(folder, name)),
  );
  for (const path of [...found.filter((path) => /\.(ts|mjs)$/.test(path)).sort(), ...SETTINGS]) {
    hash.update(`${path}\0`).update(readFileSync(path)).update("\0");
  }
  return hash.digest("hex");
}

/** As compile(), but once for all test files. */
export async function compileOnce(
  entry: string,
  target: "release" | "debug" | "test",
  options: Options = {},
): Promise<Compiled> {
  sources ??= hashOfSources();
  const key = createHash("sha256").update(JSON.stringify([sources, entry, target, options]));
  const path = join(IMAGES_FOLDER, `${key.digest("hex").slice(0, 32)}.json`);
  if (existsSync(path)) {
    const { wasm, ...rest } = JSON.parse(readFileSync(path, "utf8")) as Compiled & { wasm: string };
    return { ...rest, wasm: Uint8Array.from(Buffer.from(wasm, "base64")) };
  }
  const made = await compile(entry, target, options);
  mkdirSync(IMAGES_FOLDER, { recursive: true });
  const text = JSON.stringify({ ...made, wasm: Buffer.from(made.wasm).toString("base64") });
  writeFileSync(`${path}.${process.pid}`, text);
  renameSync(`${path}.${process.pid}`, path); // another process may have been as fast
  return made;
}
