// Texts of source files, kept while the files stay as they are. Whether they do is asked, not
// watched for: an editor that replaces a file by renaming escapes fs.watch on some systems.
import { readFileSync, statSync } from "node:fs";

/** Changes whenever the file does; "" if there is none. */
export function stampOf(path) {
  try {
    const { ino, size, mtimeMs } = statSync(path);
    return `${ino} ${size} ${mtimeMs}`;
  } catch {
    return "";
  }
}

export class Sources {
  /** @type {Map<string, { stamp: string, text: string | null }>} */
  #kept = new Map();

  /** The text, null if it cannot be read, and a stamp from before the reading. */
  read(path) {
    const stamp = stampOf(path);
    const kept = this.#kept.get(path);
    if (kept?.stamp === stamp) return kept;
    const read = { stamp, text: stamp === "" ? null : textOf(path) };
    this.#kept.set(path, read);
    return read;
  }
}

function textOf(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return null; // a folder, or a file that may not be read
  }
}
