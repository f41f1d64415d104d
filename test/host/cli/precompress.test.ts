// `torito precompress`: which siblings it writes, and that WebServer sends them.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
} from "node:fs";
import { createRequire } from "node:module";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import { afterEach, describe, expect, test } from "vitest";
import { COMPRESSIBLE, isCompressible } from "../../../host/site/compressible.ts";
import { mimeTypes } from "../../../tools/mime.mjs";
import { CLI, makeFolder, removeFolders } from "../../support/appliance.ts";
import { makeSite, putFile, SiteGuest, stopGuests } from "../../support/site-guest.ts";

afterEach(() => {
  stopGuests();
  removeFolders();
});

const run = (...args: string[]) =>
  spawnSync(process.execPath, [CLI, "precompress", ...args], { encoding: "utf8" });
const text = "All work and no play makes a site. ".repeat(100);
/** Bytes that nothing compresses. */
const noise = (bytes: number) =>
  Buffer.concat(
    Array.from({ length: bytes / 32 }, (_, i) => createHash("sha256").update(`${i}`).digest()),
  );
const siblings = (folder: string) =>
  readdirSync(folder)
    .filter((name) => /\.(br|gz|zst)$/.test(name))
    .sort();
const zstd = "zstdCompress" in (await import("node:zlib"));
const all = (name: string) => [`${name}.br`, `${name}.gz`, ...(zstd ? [`${name}.zst`] : [])];

describe("SI4 precompress", () => {
  test("writes siblings that give the file back, and that are sent", async () => {
    const folder = makeSite({ "a.js": text, "sub/b.html": text });
    const done = run(folder);
    expect([done.status, done.stderr]).toEqual([0, ""]);
    expect(done.stdout).toMatch(
      /^2 files, 7 KiB of which the smallest siblings take 1 KiB; \d siblings/,
    );
    expect(siblings(folder)).toEqual(all("a.js"));
    expect(siblings(`${folder}/sub`)).toEqual(all("b.html"));
    const br = readFileSync(`${folder}/a.js.br`);
    expect(brotliDecompressSync(br).toString()).toBe(text);
    expect(gunzipSync(readFileSync(`${folder}/a.js.gz`)).toString()).toBe(text);
    const guest = await SiteGuest.serve(folder);
    const answer = await guest.ask("/a.js", ["Accept-Encoding: br"]);
    expect(answer.one("content-encoding")).toBe("br");
    expect(Buffer.from(answer.body, "latin1")).toEqual(br);
  });

  test("leaves small files, other types, hidden ones, links, and what does not shrink", () => {
    const folder = makeSite({
      "small.js": text.slice(0, 1024),
      "image.png": text,
      "noise.js": noise(4096),
      ".git/config.json": text,
      ".well-known/a.json": text,
      noextension: text,
      ".js": text,
    });
    symlinkSync("/etc/services", `${folder}/link.txt`);
    mkdirSync(`${folder}/folder.js`);
    expect(run(folder).status).toBe(0);
    expect(siblings(folder)).toEqual([]);
    expect(siblings(`${folder}/.git`)).toEqual([]);
    expect(siblings(`${folder}/.well-known`)).toEqual(all("a.json"));
  });

  test("does nothing twice, and everything again after a change", () => {
    const folder = makeSite({ "a.js": text });
    run(folder);
    const first = statSync(`${folder}/a.js.br`).ino;
    expect(run(folder).stdout).toContain("; 0 siblings written");
    expect(statSync(`${folder}/a.js.br`).ino).toBe(first);
    putFile(folder, "a.js", `${text}changed`);
    utimesSync(`${folder}/a.js`, 1_800_000_000.123456, 1_800_000_000.123456);
    run(folder);
    expect(brotliDecompressSync(readFileSync(`${folder}/a.js.br`)).toString()).toBe(
      `${text}changed`,
    );
    const age = (name: string) => statSync(`${folder}/${name}`, { bigint: true }).mtimeNs;
    expect(age("a.js.br")).toBeGreaterThanOrEqual(age("a.js"));
    expect(age("a.js.br") - age("a.js")).toBeLessThan(5000n);
  });

  test("removes a sibling whose file does not shrink any more", () => {
    const folder = makeSite({ "a.js": text });
    run(folder);
    putFile(folder, "a.js", noise(4096));
    utimesSync(`${folder}/a.js`, 1_800_000_000, 1_800_000_000);
    run(folder);
    expect(siblings(folder)).toEqual([]);
  });

  test("says what is wrong", () => {
    expect(run("/nowhere/at/all")).toMatchObject({ status: 2 });
    expect(run().stderr).toContain(
      "precompress: which directory? As in `torito precompress ./site`",
    );
    const folder = makeFolder();
    if (process.getuid?.() === 0) return; // who may write everywhere
    putFile(folder, "a.js", text);
    chmodSync(folder, 0o555);
    expect(run(folder).status).toBe(69);
    chmodSync(folder, 0o755);
  });
});

test("SI4 the extensions are those that mime-db calls compressible, and text", () => {
  const db = createRequire(import.meta.url)("mime-db") as Record<
    string,
    { compressible?: boolean }
  >;
  const wanted = mimeTypes().filter(([, type]) => {
    const name = (type as string).split(";")[0] as string;
    return db[name]?.compressible ?? /^text\/|\+(?:json|xml)$/.test(name);
  });
  expect(COMPRESSIBLE).toEqual(wanted.map(([name]) => name).sort());
  expect(["A.JS", "x.svg", "x.png", "js", ".js"].map(isCompressible)).toEqual([
    true,
    true,
    false,
    false,
    false,
  ]);
});
