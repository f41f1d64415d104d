// Content types by file extension, out of mime-db at build time, as static data of the guest: an
// application imports them from "mime-table". guest/http/mime.ts reads them.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { root } from "./names.mjs";

/** Where several types claim a name, the better source wins. */
const SOURCES = ["iana", "apache", "nginx", undefined];

/**
 * Types of vendors and experiments are three quarters of mime-db, for names that hardly a site
 * has. These are the exceptions.
 */
const RARE = /^chemical\/|^x-|^[a-z]+\/(vnd\.|x-|prs\.)/;
const USUAL = `
  7z aif aiff apk avi azw bz bz2 crt deb dmg doc docm docx dotx eot exe flac flv gpx ico iso jar
  jnlp key kml kmz latex m3u m3u8 m4a m4v mdb mkv mng mobi mpkg msi odb odc odf odg odp ods odt
  oga otp ots ott pcx pkg ppt pptm numbers p12 pages pptx psd rar rpm rss sh sit sqlite srt swf
  sxc sxi sxw tar tcl tex tga torrent vcs vsd wav usdz webapp wma wmv wmx xls xlsm xlsx xltx xpi
  xps xspf xul yml
`;

/** The project's own: what mime-db lacks, or gives a type that browsers take no more. */
const OWN = {
  js: "text/javascript",
  mjs: "text/javascript",
  cjs: "text/javascript",
  xml: "application/xml",
  rss: "application/rss+xml",
  ico: "image/x-icon",
  map: "application/json",
  tgz: "application/gzip",
  br: "application/x-brotli",
  zst: "application/zstd",
  xz: "application/x-xz",
  flac: "audio/flac",
  m4a: "audio/mp4",
  mp4: "video/mp4",
  mkv: "video/matroska",
  wav: "audio/wav",
  ogg: "audio/ogg",
  otf: "font/otf",
  ttf: "font/ttf",
  webmanifest: "application/manifest+json",
  geojson: "application/geo+json",
  jsonl: "application/jsonl",
  ndjson: "application/x-ndjson",
  avif: "image/avif",
  jxl: "image/jxl",
  opus: "audio/ogg",
  log: "text/plain",
  vcf: "text/vcard",
  vtt: "text/vtt",
  srt: "application/x-subrip",
  pem: "application/x-pem-file",
};
/** Source code that mime-db takes for something else, and what is there to be downloaded. */
const NONE = [
  "ts",
  "mts",
  "rs",
  "exe",
  "dll",
  "bin",
  "dist",
  "pkg",
  "msi",
  "dmg",
  "iso",
  "img",
  "dump",
];

/** Every type of a body whose charset only the header can tell (the others carry their own). */
const hasCharset = (type) => type.startsWith("text/");

/** The table's source, which a package has from its build, without mime-db. */
export const MIME_TABLE = join(root, "build/mime-table.ts");

/** As MIME_TABLE has it, or made anew where mime-db is installed. */
export function mimeTableText() {
  try {
    return mimeTable();
  } catch (error) {
    if (error.code !== "MODULE_NOT_FOUND") throw error;
    return readFileSync(MIME_TABLE, "utf8");
  }
}

/** Names without a dot and their types, sorted by length and then by bytes. */
export function mimeTypes() {
  const db = createRequire(import.meta.url)("mime-db");
  const usual = new Set(USUAL.trim().split(/\s+/));
  /** @type {Map<string, [rank: number, type: string]>} */
  const best = new Map();
  for (const [type, { source, extensions = [] }] of Object.entries(db)) {
    const rank = SOURCES.indexOf(source);
    for (const name of extensions) {
      if (RARE.test(type) && !usual.has(name)) continue;
      const known = best.get(name);
      if (known === undefined || rank < known[0]) best.set(name, [rank, type]);
    }
  }
  for (const [name, type] of Object.entries(OWN)) best.set(name, [-1, type]);
  for (const name of NONE) best.delete(name);
  return [...best]
    .map(([name, [, type]]) => [name, hasCharset(type) ? `${type}; charset=utf-8` : type])
    .sort(([a], [b]) => a.length - b.length || (a < b ? -1 : 1));
}

/**
 * AssemblyScript source of the table. NAMES: the names of each length, one after another.
 * GROUPS: for each length from 0 on two u16, the number of all shorter names and where the first
 * stands in NAMES. TYPE_OF: a u16 for each name, where its type stands in TYPES: a byte of length,
 * and text.
 */
export function mimeTable() {
  const entries = mimeTypes();
  const longest = entries.at(-1)[0].length;
  const groups = [];
  for (let length = 0; length <= longest + 1; length++) {
    const shorter = entries.filter(([name]) => name.length < length);
    groups.push(
      shorter.length,
      shorter.reduce((sum, [name]) => sum + name.length, 0),
    );
  }
  const places = new Map();
  const text = [];
  for (const [, type] of entries) {
    if (places.has(type)) continue;
    places.set(type, text.length);
    text.push(type.length, ...Buffer.from(type, "ascii"));
  }
  const data = (name, element, values) =>
    `export const ${name}: usize = memory.data<${element}>([${values.join(",")}]);\n`;
  return (
    `export const NAME_BYTES_MAX: u32 = ${longest};\n` +
    data(
      "NAMES",
      "u8",
      entries.flatMap(([name]) => [...Buffer.from(name, "ascii")]),
    ) +
    data("GROUPS", "u16", groups) +
    data(
      "TYPE_OF",
      "u16",
      entries.map(([, type]) => places.get(type)),
    ) +
    data("TYPES", "u8", text)
  );
}
