// `torito precompress`: writes compressed siblings of a site's files, for WebServer to send.
// Files are compressed here, once, and never while clients wait.
import { readdirSync, statSync } from "node:fs";
import { readFile, rename, rm, stat, utimes, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { promisify } from "node:util";
import * as zlib from "node:zlib";
import { isCompressible } from "../site/compressible.ts";
import { stdout } from "./streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_UNAVAILABLE } from "./usage.ts";

/** Smaller files fit into the packet that brings the head. */
const BYTES_MIN = 1025;
/** Larger ones are left alone: they are read as a whole. */
const BYTES_MAX = 256 * 1024 * 1024;
/** A sibling that saves less is not kept. */
const RATIO_MAX = 0.95;
/** As many as zlib's threads. */
const FILES_AT_ONCE = 4;
const ZSTD_LEVEL = 19;

type Compress = (bytes: Buffer) => Promise<Buffer>;

/** Coding by the ending of a sibling's name. */
function codings(): Map<string, Compress> {
  const brotli = promisify(zlib.brotliCompress);
  const gzip = promisify(zlib.gzip);
  const found = new Map<string, Compress>([
    [".br", (bytes) => brotli(bytes, { params: { [BROTLI_PARAM_SIZE_HINT]: bytes.length } })],
    [".gz", (bytes) => gzip(bytes, { level: zlib.constants.Z_BEST_COMPRESSION })],
  ]);
  const zstd = zstdCompress();
  if (zstd !== null) found.set(".zst", zstd);
  return found;
}

const { BROTLI_PARAM_SIZE_HINT } = zlib.constants;

/** Node has zstd from 22.15 on. */
function zstdCompress(): Compress | null {
  const { zstdCompress: compress, constants } = zlib as unknown as {
    readonly zstdCompress?: (
      bytes: Buffer,
      options: { readonly params: Readonly<Record<number, number>> },
      done: (error: Error | null, result: Buffer) => void,
    ) => void;
    readonly constants: { readonly ZSTD_c_compressionLevel: number };
  };
  if (compress === undefined) return null;
  const params = { [constants.ZSTD_c_compressionLevel]: ZSTD_LEVEL };
  return (bytes) => promisify(compress)(bytes, { params });
}

/** The outcome for one file. */
interface Outcome {
  /** Bytes of the file, and of the smallest of its siblings. */
  readonly bytes: number;
  readonly smallest: number;
  /** Siblings that were written; the others were there, or would not have been smaller. */
  readonly written: number;
}

export async function precompress(directory: string): Promise<End> {
  const found = codings();
  const files = [...filesBelow(directory)];
  const outcomes: Outcome[] = [];
  const next = files.values();
  const work = async () => {
    for (const path of next) outcomes.push(await compressFile(path, found));
  };
  try {
    await Promise.all(Array.from({ length: FILES_AT_ONCE }, work));
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
  const sum = (of: (one: Outcome) => number) => outcomes.reduce((all, one) => all + of(one), 0);
  const names = [...found.keys()].join(", ");
  const [from, to] = [sum(({ bytes }) => bytes), sum(({ smallest }) => smallest)];
  stdout.write(
    `${outcomes.length} files, ${kib(from)} of which the smallest siblings take ${kib(to)}; ` +
      `${sum(({ written }) => written)} siblings written (${names})\n`,
  );
  return asLongAsItTakes(0);
}

const kib = (bytes: number): string => `${Math.ceil(bytes / 1024)} KiB`;

/** Paths of all files that are served, and worth it. Links are not followed. */
function* filesBelow(directory: string): Generator<string> {
  let entries: ReturnType<typeof entriesOf>;
  try {
    entries = entriesOf(directory);
  } catch (error) {
    throw new CliError((error as Error).message);
  }
  for (const entry of entries) {
    const path = join(directory, entry.name);
    if (entry.name.startsWith(".") && entry.name !== ".well-known") continue;
    if (entry.isDirectory()) yield* filesBelow(path);
    else if (entry.isFile() && isCompressible(entry.name) && isOfSize(path)) yield path;
  }
}

const entriesOf = (directory: string) => readdirSync(directory, { withFileTypes: true });

function isOfSize(path: string): boolean {
  const { size } = statSync(path);
  return size >= BYTES_MIN && size <= BYTES_MAX;
}

async function compressFile(path: string, found: Map<string, Compress>): Promise<Outcome> {
  const { mtimeNs, size } = await stat(path, { bigint: true });
  let content: Buffer | null = null;
  let smallest = Number(size);
  let written = 0;
  for (const [ending, compress] of found) {
    const sibling = `${path}${ending}`;
    const known = await stat(sibling, { bigint: true }).catch(() => null);
    if (known !== null && known.mtimeNs >= mtimeNs) {
      smallest = Math.min(smallest, Number(known.size));
      continue;
    }
    content ??= await readFile(path);
    const coded = await compress(content);
    if (coded.length > content.length * RATIO_MAX) {
      await rm(sibling, { force: true }); // an older one
      continue;
    }
    await replace(sibling, coded, mtimeNs);
    smallest = Math.min(smallest, coded.length);
    written++;
  }
  return { bytes: Number(size), smallest, written };
}

/**
 * The sibling is there as a whole or not at all. It is as old as its file was, so that a change of
 * the file in the meantime makes it stale.
 */
async function replace(path: string, content: Buffer, mtimeNs: bigint): Promise<void> {
  // Node sets times in microseconds or less, and rounds down.
  const seconds = Number(mtimeNs / 1000n + 2n) / 1e6;
  const temporary = join(dirname(path), `.${basename(path)}.${process.pid}`);
  try {
    await writeFile(temporary, content);
    await utimes(temporary, seconds, seconds);
    await rename(temporary, path);
  } finally {
    await rm(temporary, { force: true });
  }
}
