// Headers that WebServer adds by itself and by its options: caching, policies, CORS.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeFolders } from "../../../support/appliance.ts";
import { makeSite, SiteGuest, stopGuests } from "../../../support/site-guest.ts";

const folder = makeSite({
  "index.html": "<h1>home</h1>",
  "index.xhtml": "<html/>",
  "app.4f2a9c01.js": "go()",
  "app-4f2a9c01.js": "go()",
  "app.4f2a9c01.html": "<p>",
  "chunk.abcdefgh.js": "no digit",
  "chunk.4f2a9c0.js": "seven",
  "4f2a9c01.js": "no dot before it",
  "app-4f2a9c01": "no dot after it",
  "v-4f2a9c01.1/plain.js": "a folder's name",
  "a-4f2a9c01_.min.css": "b{}",
  "text.txt": "text",
  "a.ts": "let x",
  "a.html5": "<p>",
});
afterAll(() => {
  stopGuests();
  removeFolders();
});

let plain: SiteGuest;
beforeAll(async () => {
  plain = await SiteGuest.serve(folder);
});

describe("SI5 Cache-Control", () => {
  test("is no-cache for pages and errors, and nothing for the rest", async () => {
    const of = async (path: string) => (await plain.ask(path)).one("cache-control");
    expect(await of("/")).toBe("no-cache");
    expect(await of("/index.xhtml")).toBe("no-cache");
    expect(await of("/text.txt")).toBeUndefined();
    expect(await of("/app.4f2a9c01.js")).toBeUndefined();
    expect(await of("/missing")).toBe("no-cache");
    const beyond = await plain.ask("/text.txt", ["Range: bytes=9-"]);
    expect([beyond.status, beyond.one("cache-control")]).toEqual([416, "no-cache"]);
  });

  test("by option, what has a hash in its name may be kept for ever", async () => {
    const hashed = await SiteGuest.serve(folder, { immutable: "hashed" });
    const of = async (path: string) => (await hashed.ask(path)).one("cache-control");
    const forEver = "public, max-age=31536000, immutable";
    expect(await of("/app.4f2a9c01.js")).toBe(forEver);
    expect(await of("/app-4f2a9c01.js")).toBe(forEver);
    expect(await of("/a-4f2a9c01_.min.css")).toBe(forEver);
    const others = ["/chunk.abcdefgh.js", "/chunk.4f2a9c0.js", "/4f2a9c01.js", "/app-4f2a9c01"];
    for (const path of others) expect(await of(path), path).toBeUndefined();
    expect(await of("/v-4f2a9c01.1/plain.js")).toBeUndefined();
    expect(await of("/app.4f2a9c01.html")).toBe("no-cache");
    const tag = (await hashed.ask("/app.4f2a9c01.js")).one("etag");
    const again = await hashed.ask("/app.4f2a9c01.js", [`If-None-Match: ${tag}`]);
    expect([again.status, again.one("cache-control")]).toEqual([304, forEver]);
  });
});

describe("SI9 policies", () => {
  const POLICIES = {
    "referrer-policy": "strict-origin-when-cross-origin",
    "x-frame-options": "SAMEORIGIN",
    "cross-origin-opener-policy": "same-origin",
  };

  test("nosniff is always there, and nothing else", async () => {
    for (const path of ["/", "/text.txt", "/missing", "/../x"]) {
      const answer = await plain.ask(path);
      expect(answer.one("x-content-type-options"), path).toBe("nosniff");
      expect(answer.one("server")).toBe("torito");
      for (const name of Object.keys(POLICIES)) expect(answer.all(name)).toEqual([]);
    }
  });

  test("the others are an option, for every answer", async () => {
    const safe = await SiteGuest.serve(folder, { "security-headers": true });
    for (const path of ["/", "/text.txt", "/missing", "/../x"]) {
      const answer = await safe.ask(path);
      for (const [name, value] of Object.entries(POLICIES)) {
        expect(answer.one(name), `${path} ${name}`).toBe(value);
      }
      expect(answer.all("content-security-policy")).toEqual([]);
      expect(answer.all("strict-transport-security")).toEqual([]);
    }
  });
});

describe("SI10 CORS", () => {
  const A = "https://a.example";
  const B = "https://b.example:8443";
  const from = (origin: string) => [`Origin: ${origin}`];
  const asks = (origin: string, ...more: string[]) => [
    `Origin: ${origin}`,
    "Access-Control-Request-Method: GET",
    ...more,
  ];
  const ALLOWED = "access-control-allow-origin";

  test("is off", async () => {
    const answer = await plain.ask("/text.txt", from(A));
    expect(answer.all(ALLOWED)).toEqual([]);
    expect(answer.all("vary")).toEqual([]);
  });

  test("with * every answer may be read", async () => {
    const open = await SiteGuest.serve(folder, { cors: ["*"] });
    for (const path of ["/", "/text.txt", "/missing"]) {
      expect((await open.ask(path)).one(ALLOWED), path).toBe("*");
      expect((await open.ask(path, from(A))).all("vary")).toEqual([]);
    }
    const preflight = await open.ask("/text.txt", asks(A), "OPTIONS");
    expect([preflight.status, preflight.one(ALLOWED)]).toEqual([204, "*"]);
  });

  test("with a list the one that matches, and Vary on every answer", async () => {
    const some = await SiteGuest.serve(folder, { cors: [A, B] });
    const allowed = async (...origin: string[]) => {
      const answer = await some.ask("/text.txt", origin);
      expect(answer.one("vary")).toBe("Origin");
      expect(answer.all("access-control-allow-credentials")).toEqual([]);
      return answer.one(ALLOWED);
    };
    expect(await allowed(`Origin: ${A}`)).toBe(A);
    expect(await allowed(`Origin: ${B}`)).toBe(B);
    expect(await allowed("Origin: https://a.example.evil")).toBeUndefined();
    expect(await allowed("Origin: null")).toBeUndefined();
    expect(await allowed()).toBeUndefined();
    expect((await some.ask("/missing", from(A))).one(ALLOWED)).toBe(A);
  });

  test("a preflight is answered 204, and only names are echoed", async () => {
    const some = await SiteGuest.serve(folder, { cors: [A] });
    const names = "Access-Control-Request-Headers: x-a, content-type";
    const yes = await some.ask("/text.txt", asks(A, names), "OPTIONS");
    expect(yes.status).toBe(204);
    expect(yes.one(ALLOWED)).toBe(A);
    expect(yes.one("access-control-allow-methods")).toBe("GET, HEAD");
    expect(yes.one("access-control-allow-headers")).toBe("x-a, content-type");
    expect(yes.one("access-control-max-age")).toBe("86400");
    expect(yes.all("vary")).toContain("Origin");
    expect(yes.all("content-length")).toEqual([]);
    const odd = await some.ask(
      "/text.txt",
      asks(A, 'Access-Control-Request-Headers: x"<b>'),
      "OPTIONS",
    );
    expect(odd.all("access-control-allow-headers")).toEqual([]);
    const no = await some.ask("/text.txt", asks("https://evil.example"), "OPTIONS");
    expect(no.status).toBe(204);
    expect(no.all(ALLOWED)).toEqual([]);
    expect(no.all("access-control-allow-methods")).toEqual([]);
  });
});

test("types of the settings go before the server's own", async () => {
  const types = { ts: "text/plain; charset=utf-8", txt: "text/markdown", html5: "text/html" };
  const own = await SiteGuest.serve(folder, { types });
  const of = async (path: string) => (await own.ask(path)).one("content-type");
  expect(await of("/a.ts")).toBe("text/plain; charset=utf-8");
  expect(await of("/text.txt")).toBe("text/markdown");
  expect(await of("/")).toBe("text/html; charset=utf-8");
  expect((await own.ask("/a.html5")).one("cache-control")).toBe("no-cache");
  expect((await plain.ask("/a.ts")).one("content-type")).toBe("application/octet-stream");
});
