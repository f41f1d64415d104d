// Writes a folder as a tar archive (POSIX ustar), the same bytes for the same files.
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

const BLOCK_BYTES = 512;
const NAME_BYTES_MAX = 100;
/** Of all files: validators of HTTP are made from it, and a checkout has other times each time. */
const MTIME_SECONDS = Date.UTC(2000, 0, 1) / 1000;

/**
 * @param {Readonly<Record<string, Uint8Array>>} files by path
 * @returns {Buffer}
 */
export function writeTar(files) {
  const parts = Object.entries(files).flatMap(([path, content]) => {
    const padding = Buffer.alloc(-content.length & (BLOCK_BYTES - 1));
    return [header(path, content.length), content, padding];
  });
  return Buffer.concat([...parts, Buffer.alloc(2 * BLOCK_BYTES)]);
}

/**
 * The files of a folder by path, in order; `isLeftOut` is asked for folders too.
 *
 * @param {string} folder
 * @param {(path: string) => boolean} [isLeftOut]
 * @returns {Record<string, Uint8Array>}
 */
export function readFolder(folder, isLeftOut = () => false) {
  /** @type {Record<string, Uint8Array>} */
  const files = {};
  /** @param {string} path */
  const walk = (path) => {
    const entries = readdirSync(join(folder, path), { withFileTypes: true });
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      const below = path === "" ? entry.name : `${path}/${entry.name}`;
      if (isLeftOut(below)) continue;
      if (entry.isDirectory()) walk(below);
      else if (entry.isFile()) files[below] = readFileSync(join(folder, below));
    }
  };
  walk("");
  return files;
}

/**
 * @param {string} path
 * @param {number} bytes
 */
function header(path, bytes) {
  if (Buffer.byteLength(path) > NAME_BYTES_MAX) throw new Error(`tar: ${path} is too long`);
  const head = Buffer.alloc(BLOCK_BYTES);
  /** @param {number} value @param {number} digits */
  const octal = (value, digits) => value.toString(8).padStart(digits, "0");
  head.write(path, 0);
  head.write(`${octal(0o644, 7)}\0${octal(0, 7)}\0${octal(0, 7)}\0`, 100);
  head.write(`${octal(bytes, 11)}\0${octal(MTIME_SECONDS, 11)}\0`, 124);
  head.write(`${" ".repeat(8)}0`, 148);
  head.write("ustar\u000000", 257);
  const sum = head.reduce((total, byte) => total + byte, 0);
  head.write(`${octal(sum, 6)}\0 `, 148);
  return head;
}
