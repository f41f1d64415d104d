// Content types: the table that the build makes of mime-db, as the guest reads it.

import { mkdirSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterEach, describe, expect, test } from "vitest";
import { mimeTypes } from "../../../tools/mime.mjs";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const db: Record<string, { extensions?: string[] }> = createRequire(import.meta.url)("mime-db");
const types = new Map(mimeTypes() as [string, string][]);

async function serveNames(names: readonly string[]) {
  const site = makeFolder();
  for (const name of names) {
    mkdirSync(`${site}/${name}`.replace(/[^/]*$/, ""), { recursive: true });
    writeFileSync(`${site}/${name}`, "x");
  }
  const server = await serve(site, { attrTimeoutMs: 1000 });
  const client = server.connect(new Client());
  return names.map((name) => {
    client.received = "";
    client.get(`/${encodeURI(name)}`);
    return parseResponses(client.received)[0]?.headers.get("content-type");
  });
}

describe("the table", () => {
  test("has the name of everything that sites are made of", () => {
    const want = {
      html: "text/html; charset=utf-8",
      css: "text/css; charset=utf-8",
      js: "text/javascript; charset=utf-8",
      mjs: "text/javascript; charset=utf-8",
      json: "application/json",
      map: "application/json",
      svg: "image/svg+xml",
      xml: "application/xml",
      wasm: "application/wasm",
      webmanifest: "application/manifest+json",
      ico: "image/x-icon",
      woff2: "font/woff2",
      mp4: "video/mp4",
      webm: "video/webm",
      m3u8: "application/vnd.apple.mpegurl",
      tgz: "application/gzip",
      glb: "model/gltf-binary",
      docx: "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
      md: "text/markdown; charset=utf-8",
      vcf: "text/vcard; charset=utf-8",
    };
    expect(Object.fromEntries(Object.keys(want).map((name) => [name, types.get(name)]))).toEqual(
      want,
    );
  });

  test("gives a charset to text alone, and knows what mime-db has of standard types", () => {
    for (const [name, type] of types) {
      expect(type.startsWith("text/"), name).toBe(type.endsWith("; charset=utf-8"));
    }
    const standard = /^(?!chemical\/|x-)[a-z]+\/(?!vnd\.|x-|prs\.)/;
    const missing = Object.entries(db)
      .filter(([type]) => standard.test(type))
      .flatMap(([, { extensions = [] }]) => extensions)
      .filter((name) => !types.has(name));
    // Left out on purpose: what mime-db takes for something else, and programs and images of disks.
    const left =
      "bin bpk buffer deploy dist distz dll dmg dms dump elc exe img iso lrf mar msi msm msp";
    const out = new Set(`${left} mts pkg rs so ts`.split(" "));
    expect(missing.filter((name) => !out.has(name))).toEqual([]);
  });
});

test("the guest finds every name, whatever its case", async () => {
  const names = [...types.keys()];
  const files = names.map((name, i) => `f.${i % 2 ? name : name.toUpperCase()}`);
  expect(await serveNames(files)).toEqual(names.map((name) => types.get(name)));
});

test("serves unknown extensions as octet-stream", async () => {
  const unknown = "application/octet-stream";
  const cases = {
    noextension: unknown,
    "dot.": unknown,
    "a.html/plain": unknown,
    "a.htmlx": unknown,
    "a.htm l": unknown,
    html: unknown,
    "b.html.bak": unknown,
    "two.tar.gz": "application/gzip",
    ".well-known/.html": "text/plain; charset=utf-8", // hidden (SI1): the page of an error
    [`long.${"x".repeat(200)}`]: unknown,
    "high.ü": unknown,
    "c.b/d.css": "text/css; charset=utf-8",
  };
  expect(await serveNames(Object.keys(cases))).toEqual(Object.values(cases));
});
