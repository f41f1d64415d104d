// How a build calls the sources of this package. Applications import "torito/kernel/api" wherever
// they lie; the compiler's name for it is ~lib/torito/kernel/api, and people see the former.
import { fileURLToPath } from "node:url";

/** The folder of the package: an installed one, or a clone. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** Prefix of the compiler's names of this package's sources and of what is in them. */
export const PACKAGE = "~lib/torito/";

/** Names in a text of the compiler as people know them. */
export const shown = (text) => text.replaceAll(PACKAGE, "torito/");

/**
 * The package's file that the compiler looks for as `name`, relative to `root`, or null. Whoever
 * imports it, and whatever other version is installed there: an image has one kernel.
 */
export function ownFile(name) {
  const path = `/${name.replaceAll("\\", "/")}`;
  const at = path.lastIndexOf("/node_modules/");
  if (at < 0 || !path.startsWith(WITHIN, at)) return null;
  const file = path.slice(at + WITHIN.length);
  return FOLDERS.some((folder) => file.startsWith(folder)) ? file : "";
}

const WITHIN = "/node_modules/torito/";
/** Folders with sources of guests. */
const FOLDERS = ["abi/", "drivers/", "guest/", "kernel/"];
