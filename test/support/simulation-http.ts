// The answers that WebServer must give, written down a second time, independently of it: requests
// made at random, each with the response that is due, byte for byte but for the date.

import type { SimulatedFile } from "./simulation-files.ts";
import { Random } from "./simulation-random.ts";

export interface Expected {
  readonly status: number;
  /** All headers but Date, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  readonly closes: boolean;
}

export interface Exchange {
  readonly request: string;
  readonly expected: Expected;
}

const REASONS: Readonly<Record<number, string>> = {
  301: "Moved Permanently",
  400: "Bad Request",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  412: "Precondition Failed",
  416: "Range Not Satisfiable",
  500: "Internal Server Error",
  501: "Not Implemented",
};
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  png: "image/png",
  txt: "text/plain; charset=utf-8",
};
const MTIME_NS = 1_600_000_000_123_456_789n;
const SIZES = [0, 1, 300, 4095, 4096, 4097, 20_000, 65_536, 100_000, 262_144, 262_145, 300_000];
const MISSING = ["/missing.html", "/a/b/c", "/file-1.txt/x", "/%ff"];

/** The site: files of all sizes around the server's thresholds. */
export function makeSite(): Map<string, SimulatedFile> {
  const random = new Random(1);
  const types = Object.keys(TYPES);
  const site = new Map<string, SimulatedFile>();
  const add = (path: string, size: number) => {
    const content = Buffer.alloc(size);
    random.fill(content);
    site.set(path, { content, mtimeNs: MTIME_NS + BigInt(site.size) * 1_000_000_000n });
  };
  for (const [i, size] of SIZES.entries()) add(`/file-${i}.${types[i % types.length]}`, size);
  add("/index.html", 900);
  add("/folder/index.html", 500);
  add("/folder/data", 7000);
  site.set("/locked.html", { content: Buffer.alloc(50), mtimeNs: MTIME_NS, fails: "EACCES" });
  site.set("/broken.html", { content: Buffer.alloc(50), mtimeNs: MTIME_NS, fails: "EIO" });
  return site;
}

/** Every path that a request of makeExchange() may name. */
export function allPaths(site: ReadonlyMap<string, SimulatedFile>): string[] {
  return [...site.keys(), "/", "/folder/", "/folder", ...MISSING];
}

const httpDate = (file: SimulatedFile) => new Date(Number(file.mtimeNs / 1_000_000n)).toUTCString();
const etagOf = ({ mtimeNs, content }: SimulatedFile) =>
  `"${(mtimeNs / 1_000_000_000n).toString(16)}-${content.length.toString(16)}"`;
const typeOf = (path: string) =>
  TYPES[/\.(\w+)$/.exec(path)?.[1] ?? ""] ?? "application/octet-stream";
/** Pages are asked about each time. */
const policyOf = (path: string): Record<string, string> =>
  path.endsWith(".html") ? { "cache-control": "no-cache" } : {};

interface Wish {
  readonly method: string;
  readonly keepAlive: boolean;
}

function answer(
  { method, keepAlive }: Wish,
  status: number,
  headers: Record<string, string>,
  body: Buffer,
): Expected {
  return {
    status,
    headers: {
      server: "torito",
      "x-content-type-options": "nosniff",
      ...headers,
      connection: keepAlive ? "keep-alive" : "close",
    },
    body: method === "HEAD" || status === 204 || status === 304 ? Buffer.alloc(0) : body,
    closes: !keepAlive,
  };
}

export function plain(wish: Wish, status: number, headers: Record<string, string> = {}): Expected {
  const body = Buffer.from(`${status} ${REASONS[status]}\n`);
  const common = {
    "content-type": "text/plain; charset=utf-8",
    "content-length": String(body.length),
    ...(status >= 400 ? { "cache-control": "no-cache" } : {}),
  };
  return answer(wish, status, { ...headers, ...common }, body);
}

function whole(
  wish: Wish,
  path: string,
  file: SimulatedFile,
  part: readonly [number, number] | null = null,
): Expected {
  const size = file.content.length;
  const [first, last] = part ?? [0, size - 1];
  const body = Buffer.from(file.content.subarray(first, last + 1));
  const range: Record<string, string> =
    part === null ? {} : { "content-range": `bytes ${first}-${last}/${size}` };
  const headers = {
    "content-type": typeOf(path),
    ...policyOf(path),
    "accept-ranges": "bytes",
    "last-modified": httpDate(file),
    etag: etagOf(file),
    "content-length": String(body.length),
    ...range,
  };
  return answer(wish, part === null ? 200 : 206, headers, body);
}

function notModified(wish: Wish, path: string, file: SimulatedFile): Expected {
  const headers = { "last-modified": httpDate(file), etag: etagOf(file), ...policyOf(path) };
  return answer(wish, 304, headers, Buffer.alloc(0));
}

/** A conditional header or a range, and what comes of it. */
function variation(
  random: Random,
  wish: Wish,
  path: string,
  file: SimulatedFile,
): { header: string; expected: Expected } {
  const full = whole(wish, path, file);
  const size = file.content.length;
  const ranged = wish.method === "GET" && size > 0;
  const part = (first: number, last: number) =>
    ranged ? whole(wish, path, file, [first, Math.min(last, size - 1)]) : full;
  const first = random.below(Math.max(1, size));
  const last = first + random.below(Math.max(1, size));
  const count = random.between(1, 2 * size + 1);
  const seconds = Number(file.mtimeNs / 1_000_000_000n) * 1000;
  const unsatisfiable =
    wish.method === "GET" ? plain(wish, 416, { "content-range": `bytes */${size}` }) : full;
  switch (random.below(14)) {
    case 0:
      return { header: `If-None-Match: ${etagOf(file)}`, expected: notModified(wish, path, file) };
    case 1:
      return {
        header: `if-none-match: "x", W/${etagOf(file)}`,
        expected: notModified(wish, path, file),
      };
    case 2:
      return { header: 'If-None-Match: "another"', expected: full };
    case 3:
      return {
        header: `If-Modified-Since: ${new Date(seconds).toUTCString()}`,
        expected: notModified(wish, path, file),
      };
    case 4:
      return {
        header: `If-Modified-Since: ${new Date(seconds - 1000).toUTCString()}`,
        expected: full,
      };
    case 5:
      return {
        header: `Range: bytes=${first}-${last}`,
        expected: ranged ? part(first, last) : unsatisfiable,
      };
    case 6:
      return {
        header: `Range: bytes=${first}-`,
        expected: ranged ? part(first, size) : unsatisfiable,
      };
    case 7:
      return {
        header: `Range: bytes=-${count}`,
        expected: ranged ? part(Math.max(0, size - count), size) : unsatisfiable,
      };
    case 8:
      return { header: `Range: bytes=${size}-${size + 5}`, expected: unsatisfiable };
    case 9:
      return { header: `Range: bytes=0-0\r\nIf-Range: ${httpDate(file)}x`, expected: full };
    case 10:
      return { header: `If-Match: "x", ${etagOf(file)}`, expected: full };
    case 11:
      return { header: `If-Match: W/${etagOf(file)}`, expected: plain(wish, 412) };
    case 12:
      return {
        header: `If-Unmodified-Since: ${new Date(seconds - 1000).toUTCString()}`,
        expected: plain(wish, 412),
      };
    default:
      return { header: "Range: bytes=5-3", expected: full };
  }
}

function forFile(random: Random, wish: Wish, path: string, file: SimulatedFile) {
  if (random.chance(0.5)) return variation(random, wish, path, file);
  return { header: "X-Nothing: 1", expected: whole(wish, path, file) };
}

/** One request, and the response that is due. `last`: it may ask for the end of the connection. */
export function makeExchange(
  random: Random,
  site: ReadonlyMap<string, SimulatedFile>,
  last: boolean,
): Exchange {
  const closes = last && random.chance(0.4);
  const old = closes && random.chance(0.3);
  const method = random.chance(0.2) ? "HEAD" : "GET";
  const wish = { method, keepAlive: !closes };
  const make = (target: string, header: string, expected: Expected, verb = method): Exchange => {
    const connection = closes && !old ? "Connection: close\r\n" : "";
    const start = `${verb} ${target} HTTP/1.${old ? 0 : 1}`;
    return { request: `${start}\r\nHost: torito\r\n${header}\r\n${connection}\r\n`, expected };
  };
  const kind = random.next();
  if (kind < 0.05) return make(random.any(MISSING), "X: y", plain(wish, 404));
  if (kind < 0.08) return make("/folder", "X: y", plain(wish, 301, { location: "/folder/" }));
  if (kind < 0.1) {
    const allow = { allow: "GET, HEAD, OPTIONS" };
    const bytes = random.below(2000);
    const refused = plain({ method: "POST", keepAlive: !closes }, 405, allow);
    const post = make("/", `Content-Length: ${bytes}`, refused, "POST");
    return { ...post, request: post.request + "b".repeat(bytes) };
  }
  if (kind < 0.11) {
    const allow = { allow: "GET, HEAD, OPTIONS" };
    const options = answer(wish, 204, allow, Buffer.alloc(0));
    return make("/any", "X: y", options, "OPTIONS");
  }
  if (kind < 0.12) return make("/", "X: y", plain({ ...wish, method: "BREW" }, 501), "BREW");
  if (kind < 0.14 && last) {
    return make("/a/%2e./b", "X: y", plain({ method, keepAlive: false }, 400));
  }
  const name = random.any([...site.keys()]);
  const file = site.get(name) as SimulatedFile;
  if (file.fails !== undefined) {
    // Whatever the request: nothing is revealed of a file that cannot be read.
    const { header } = forFile(random, wish, name, file);
    return make(name, header, plain(wish, file.fails === "EACCES" ? 403 : 500));
  }
  const { header, expected } = forFile(random, wish, name, file);
  const target = random.chance(0.2)
    ? name.replace(/index\.html$/, "")
    : `${name}?q=${random.below(9)}`;
  return make(target, header, expected);
}

/** Throws unless `bytes` begin with the responses that are due, in order, and hold nothing else. */
export function checkResponses(bytes: Buffer, due: readonly Expected[], whole: boolean): void {
  let at = 0;
  for (const expected of due) {
    const end = bytes.indexOf("\r\n\r\n", at);
    if (end < 0) {
      if (whole) throw new Error(`response ${due.indexOf(expected)} of ${due.length} is missing`);
      return;
    }
    const [line = "", ...lines] = bytes.toString("latin1", at, end).split("\r\n");
    const headers = Object.fromEntries(
      lines
        .map((one) => one.split(/: (.*)/s, 2))
        .map(([name = "", value]) => [name.toLowerCase(), value]),
    );
    const { date, ...rest } = headers;
    if (Number.isNaN(Date.parse(date ?? ""))) throw new Error(`Date: ${date}`);
    const got = JSON.stringify([line.slice(0, 12), Object.entries(rest).sort()]);
    const want = JSON.stringify([
      `HTTP/1.1 ${expected.status}`,
      Object.entries(expected.headers).sort(),
    ]);
    if (got !== want) throw new Error(`got ${got}\nwant ${want}`);
    const body = bytes.subarray(end + 4, end + 4 + expected.body.length);
    at = end + 4 + body.length;
    const same = whole
      ? body.equals(expected.body)
      : expected.body.subarray(0, body.length).equals(body);
    if (!same) throw new Error(`the body of ${want} differs, ${body.length} bytes`);
  }
  if (at !== bytes.length) throw new Error(`${bytes.length - at} bytes follow the last response`);
}
