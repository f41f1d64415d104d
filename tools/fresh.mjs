// Is an image newer than everything that it was made from? Its map lists that.
import { readFileSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { root } from "./names.mjs";

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));

/** Goes into the map: an installed package's files do not get newer when it is replaced. */
export const MADE_BY = { x_torito: version };

/**
 * @param {string} image path
 * @param {string} folder of the project
 * @param {readonly string[]} [others] files that it depends on, apart from its sources
 */
export function isFresh(image, folder, others = []) {
  try {
    const built = statSync(image).mtimeMs;
    const { sources, x_torito } = JSON.parse(readFileSync(`${image}.map`, "utf8"));
    if (x_torito !== version) return false;
    const files = sources
      .filter((source) => !/^~lib\/|^torito:/.test(source))
      .map((source) => source.replace(/^torito\//, root))
      .map((source) => resolve(folder, source));
    return [...files, ...others].every((file) => statSync(file).mtimeMs <= built);
  } catch {
    return false; // not there, or a source is gone
  }
}
