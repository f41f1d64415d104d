// Reads a tar archive: POSIX ustar, pax paths, GNU long names. What `tar -cf site.tar -C site .`
// writes. Times are the archive's, so that validators live.
import type { MemoryDirectory } from "../files/memory-directory.ts";
import type { Clock } from "../ports/clock.ts";

const BLOCK_BYTES = 512;
/** Entries of one archive; an archive with more is refused. */
const ENTRIES_MAX = 65536;
/** A long name, or a pax header. */
const EXTENSION_BYTES_MAX = 64 * 1024;

const enum Field {
  Name = 0,
  Size = 124,
  Mtime = 136,
  Checksum = 148,
  Type = 156,
  Magic = 257,
  Prefix = 345,
}

const decoder = new TextDecoder();

/**
 * Files with the regular files of the archive; `make` makes them, without any, with times by that
 * clock. Other entries are left out, but directories that hold a file. Throws an Error if the
 * archive is damaged, too large, or names a path outside of itself.
 */
export function unpackTar<Made extends Pick<MemoryDirectory, "writeFile">>(
  archive: Uint8Array,
  make: (clock: Pick<Clock, "realtime">) => Made,
): Made {
  let mtimeNs = 0n;
  const files = make({ realtime: () => mtimeNs });
  let longName = "";
  let entries = 0;
  for (let at = 0; at + BLOCK_BYTES <= archive.length; ) {
    const head = archive.subarray(at, at + BLOCK_BYTES);
    if (head.every((byte) => byte === 0)) return files;
    if (++entries > ENTRIES_MAX) throw new Error(`tar: more than ${ENTRIES_MAX} entries`);
    checkSum(head, at);
    const size = numberAt(head, Field.Size, 12);
    const from = at + BLOCK_BYTES;
    if (size > archive.length - from) throw new Error(`tar: cut off at byte ${archive.length}`);
    const content = archive.subarray(from, from + size);
    at = from + Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES;
    const type = String.fromCharCode(head[Field.Type] as number);
    if (type === "L" || type === "x") {
      if (size > EXTENSION_BYTES_MAX) throw new Error(`tar: a name of ${size} bytes`);
      longName = type === "L" ? textAt(content, 0, size) : (paxPath(content) ?? longName);
      continue;
    }
    const name = longName || nameOf(head);
    longName = "";
    if (type !== "0" && type !== "\0") continue;
    mtimeNs = BigInt(numberAt(head, Field.Mtime, 12)) * 1_000_000_000n;
    files.writeFile(insidePath(name), content);
  }
  return files;
}

function checkSum(head: Uint8Array, at: number): void {
  const sum = head.reduce((total, byte, i) => {
    const isOwn = i >= Field.Checksum && i < Field.Checksum + 8;
    return total + (isOwn ? 0x20 : byte);
  }, 0);
  if (sum === numberAt(head, Field.Checksum, 8)) return;
  throw new Error(`tar: no header at byte ${at}`);
}

function textAt(bytes: Uint8Array, from: number, length: number): string {
  const field = bytes.subarray(from, from + length);
  const end = field.indexOf(0);
  return decoder.decode(end < 0 ? field : field.subarray(0, end));
}

/** Octal digits. */
function numberAt(head: Uint8Array, from: number, length: number): number {
  const text = textAt(head, from, length).trim();
  if (!/^[0-7]*$/.test(text)) throw new Error(`tar: "${text}" is no octal number`);
  return text === "" ? 0 : Number.parseInt(text, 8);
}

function nameOf(head: Uint8Array): string {
  const name = textAt(head, Field.Name, 100);
  const isUstar = textAt(head, Field.Magic, 6) === "ustar";
  const prefix = isUstar ? textAt(head, Field.Prefix, 155) : "";
  return prefix === "" ? name : `${prefix}/${name}`;
}

/** The path of a pax header, whose records are `LENGTH KEY=VALUE\n`; null: it names none. */
function paxPath(content: Uint8Array): string | null {
  let path: string | null = null;
  for (let at = 0; at < content.length; ) {
    const space = content.indexOf(0x20, at);
    const length = Number(decoder.decode(content.subarray(at, Math.max(at, space))));
    if (!(length > space - at + 1) || at + length > content.length) {
      throw new Error("tar: a damaged pax header");
    }
    const record = decoder.decode(content.subarray(space + 1, at + length - 1));
    if (record.startsWith("path=")) path = record.slice("path=".length);
    at += length;
  }
  return path;
}

function insidePath(name: string): string {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || parts.includes("..") || parts.length === 0) {
    throw new Error(`tar: "${name}" is outside of the archive`);
  }
  return parts.join("/");
}
