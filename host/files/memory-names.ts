// Names and paths of MemoryFiles. A name is bytes; as a key of a map it is text with a character
// for each byte.
import { FUSE_NAME_BYTES_MAX } from "../../abi/fuse.ts";

export function keyOf(name: Uint8Array): string {
  if (name.length > FUSE_NAME_BYTES_MAX) throw failure("ENAMETOOLONG", `${name.length} bytes`);
  return String.fromCharCode(...name);
}

export function bytesOf(key: string): Uint8Array {
  return Uint8Array.from(key, (character) => character.charCodeAt(0));
}

/** For people. */
export function nameText(key: string): string {
  return new TextDecoder().decode(bytesOf(key));
}

/** The keys of a path, which begins at the root with or without a slash. */
export function keysOf(path: string): string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (parts.includes("..") || path.includes("\0")) throw failure("EINVAL", path);
  return parts.map((part) => keyOf(new TextEncoder().encode(part)));
}

/** An error as Node throws it. */
export function failure(code: string, subject: string): Error {
  return Object.assign(new Error(`${code}: ${subject}`), { code });
}
