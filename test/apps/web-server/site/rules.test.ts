// _headers and _redirects, as WebServer follows them.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeFolders } from "../../../support/appliance.ts";
import { makeSite, putFile, SiteGuest, stopGuests } from "../../../support/site-guest.ts";

afterAll(() => {
  stopGuests();
  removeFolders();
});

const FILES = {
  "index.html": "<h1>home</h1>",
  "app/index.html": "<p>app",
  "blog/post.html": "<p>post",
  "here.txt": "here",
  "a.js": "go()",
  "lost.html": "<p>lost",
  ".env": "SECRET",
};
const serve = (rules: Record<string, string>, settings = {}) =>
  SiteGuest.serve(makeSite({ ...FILES, ...rules }), settings);

describe("_headers", () => {
  let guest: SiteGuest;
  beforeAll(async () => {
    guest = await serve({
      _headers: `
# all
/*
  X-All: yes
  X-A: 1
/a.js
  X-A: 2
  X-A: 3
  Cache-Control: public, max-age=60
  x-content-type-options: other
/blog/:name
  X-Blog: one segment
/*/post.html
  X-Post: any folder
/here.txt
  Content-Type: text/x-here
  Cache-Control: max-age=5
  Vary: Cookie
/caf%C3%A9
  X-Decoded: yes
/.env
  X-Env: yes
`,
    });
  });

  test("all rules that match apply, and equal names are joined in the file's order", async () => {
    const answer = await guest.ask("/a.js");
    expect(answer.one("x-all")).toBe("yes");
    expect(answer.one("x-a")).toBe("1, 2, 3");
    expect((await guest.ask("/here.txt")).one("x-a")).toBe("1");
  });

  test("they take the place of the server's own", async () => {
    const answer = await guest.ask("/a.js");
    expect(answer.one("cache-control")).toBe("public, max-age=60");
    expect(answer.one("x-content-type-options")).toBe("other");
    const here = await guest.ask("/here.txt");
    expect(here.one("content-type")).toBe("text/x-here");
    expect(here.one("vary")).toBe("Cookie");
  });

  test("placeholders are a segment, a star at the end is the rest", async () => {
    expect((await guest.ask("/blog/post.html")).one("x-blog")).toBe("one segment");
    expect((await guest.ask("/blog/a/b")).all("x-blog")).toEqual([]);
    expect((await guest.ask("/blog/")).all("x-blog")).toEqual([]);
    expect((await guest.ask("/blog/post.html")).one("x-post")).toBe("any folder");
    expect((await guest.ask("/x/y/post.html")).all("x-post")).toEqual([]);
    expect((await guest.ask("/caf%c3%a9")).one("x-decoded")).toBe("yes");
  });

  test("parts and 304 have them, errors all but those of the file", async () => {
    const part = await guest.ask("/here.txt", ["Range: bytes=0-1"]);
    expect([part.status, part.one("x-a"), part.one("cache-control")]).toEqual([
      206,
      "1",
      "max-age=5",
    ]);
    const tag = (await guest.ask("/here.txt")).one("etag");
    const same = await guest.ask("/here.txt", [`If-None-Match: ${tag}`]);
    expect([same.status, same.one("cache-control"), same.one("x-a")]).toEqual([
      304,
      "max-age=5",
      "1",
    ]);
    expect(same.all("content-type")).toEqual([]);
    const beyond = await guest.ask("/here.txt", ["Range: bytes=9-"]);
    expect([beyond.status, beyond.one("cache-control"), beyond.one("content-type")]).toEqual([
      416,
      "no-cache",
      "text/plain; charset=utf-8",
    ]);
    const missing = await guest.ask("/missing");
    expect([missing.status, missing.one("x-all")]).toEqual([404, "yes"]);
    expect(await guest.ask("/.env")).toMatchObject({ status: 404 });
  });

  test("many values fill a head; more are 500, and the console says so", async () => {
    const line = (name: string, length: number) => `  ${name}: ${"v".repeat(length)}\n`;
    const many = (length: number) =>
      Array.from({ length: 4 }, (_, i) => line(`X-${i}`, length)).join("");
    // The first three hide from the compiler that all of the others may apply together.
    const hiding = ["/a/c/g/*", "/d/b/g/*", "/h/f/e/*"].map((path) => `${path}\n${many(870)}`);
    const paths = ["/a/*", "/:x/b/*", "/:x/:y/e/*"].map((path) => `${path}\n${many(860)}`);
    const own = await serve({ _headers: [...hiding, ...paths].join("") });
    const answer = await own.ask("/a/b/");
    expect([answer.status, answer.one("x-3")?.length]).toEqual([404, 2 * 860 + 2]);
    const long = await own.ask("/a/b/e/");
    expect([long.status, long.all("x-1")]).toEqual([500, []]);
    expect(own.console).toContain("the headers of _headers for a path are too long: 500");
  });
});

describe("_redirects", () => {
  let guest: SiteGuest;
  beforeAll(async () => {
    guest = await serve({
      _redirects: `
/old /new
/found /new 302   # a comment
/other /new 303
/seven /new 307
/eight /new 308
/here.txt /elsewhere
/a.js /elsewhere 301!
/blog/:year/:slug /posts/:slug?y=:year
/docs/* https://docs.example/:splat#top
/up/* /:splat
/cdn/* //cdn.example/:splat
/join/:a/* /:splat/:a
/rewritten /app/index.html 200
/folder /app 200
/spa/* /app/ 200
/circle-a /circle-b 200
/circle-b /circle-a 200
/lost/* /lost.html 404
/nolost/* /nothing.html 404
/steal/* /:splat 200
/store id=:id lang=en /items/:id
/store id=:id /any/:id
/store /shop
/raw/* /x:splat/:nothing
/twice/:a/:b /:b/:a/:b
/first/* /one
/first/x /two
/second/x /one
/second/* /two
/with?query /never
`,
    });
  });
  const to = async (path: string) => {
    const answer = await guest.ask(path);
    return [answer.status, answer.one("location")];
  };

  test("status and location, 301 unless the rule has another one", async () => {
    expect(await to("/old")).toEqual([301, "/new"]);
    expect(await to("/found")).toEqual([302, "/new"]);
    expect(await to("/other")).toEqual([303, "/new"]);
    expect(await to("/seven")).toEqual([307, "/new"]);
    expect(await to("/eight")).toEqual([308, "/new"]);
    expect((await guest.ask("/found")).head).toContain("HTTP/1.1 302 Found\r\n");
    const head = await guest.ask("/old", [], "HEAD");
    expect([head.status, head.one("location"), head.body]).toEqual([301, "/new", ""]);
  });

  test("an existing file wins over a rule without !", async () => {
    expect((await guest.ask("/here.txt")).body).toBe("here");
    expect(await to("/a.js")).toEqual([301, "/elsewhere"]);
  });

  test("placeholders, splats, and the query of the request", async () => {
    expect(await to("/blog/2026/a%20b")).toEqual([301, "/posts/a%20b?y=2026"]);
    expect(await to("/docs/a/b?x=1")).toEqual([301, "https://docs.example/a/b?x=1#top"]);
    expect(await to("/docs/")).toEqual([301, "https://docs.example/#top"]);
    expect(await to("/old?a=1&b=2")).toEqual([301, "/new?a=1&b=2"]);
    expect(await to("/blog/2026/x?z=1")).toEqual([301, "/posts/x?y=2026"]);
    expect(await to("/raw/1")).toEqual([301, "/x1/:nothing"]);
    expect(await to("/twice/1/2")).toEqual([301, "/2/1/2"]);
  });

  test("the first rule that matches is followed, static or not", async () => {
    expect(await to("/first/x")).toEqual([301, "/one"]);
    expect(await to("/second/x")).toEqual([301, "/one"]);
    expect(await to("/second/y")).toEqual([301, "/two"]);
  });

  test("conditions on the query", async () => {
    expect(await to("/store?id=7&lang=en")).toEqual([301, "/items/7"]);
    expect(await to("/store?lang=en&id=a%2Fb+c")).toEqual([301, "/items/a/b%20c"]);
    expect(await to("/store?id=7&lang=de")).toEqual([301, "/any/7"]);
    expect(await to("/store?ID=7")).toEqual([301, "/shop?ID=7"]);
    expect(await to("/store?id=%zz")).toEqual([301, "/shop?id=%zz"]);
    expect(await to("/store")).toEqual([301, "/shop"]);
  });

  test("200 serves a file, and at most one rewrite is made", async () => {
    expect(await guest.ask("/rewritten")).toMatchObject({ status: 200, body: "<p>app" });
    expect(await guest.ask("/folder")).toMatchObject({ status: 200, body: "<p>app" });
    expect(await guest.ask("/spa/a/b.js")).toMatchObject({ status: 200, body: "<p>app" });
    expect(await guest.status("/circle-a")).toBe(404);
    expect(await guest.status("/circle-b")).toBe(404);
    const tag = (await guest.ask("/spa/x")).one("etag");
    expect(await guest.status("/spa/x", `If-None-Match: ${tag}`)).toBe(304);
  });

  test("404 serves a page with that status", async () => {
    expect(await guest.ask("/lost/x")).toMatchObject({ status: 404, body: "<p>lost" });
    expect(await guest.ask("/nolost/x")).toMatchObject({ status: 404, body: "404 Not Found\n" });
  });

  test("a client's path names neither another server nor a hidden file", async () => {
    expect(await to("/up//evil.example/x")).toEqual([301, "/evil.example/x"]);
    expect(await to("/up/%2f%2fevil.example")).not.toEqual([301, "//evil.example"]);
    expect(await to("/up/%5cevil.example")).toEqual([301, "/%5Cevil.example"]);
    expect(await to("/up/%0d%0aSet-Cookie:x")).toEqual([301, "/%0D%0ASet-Cookie:x"]);
    expect(await to("/join/evil.example/")).toEqual([301, "/evil.example"]);
    expect(await to("/cdn/x")).toEqual([301, "//cdn.example/x"]); // as the file says
    expect(await guest.status("/steal/here.txt")).toBe(200);
    expect(await guest.status("/steal/x/.env")).toBe(404);
    expect(await guest.status("/steal/_redirects")).toBe(404);
    expect(await guest.status("/steal/.env")).toBe(404);
  });

  test("captures cannot spell what the path could not", async () => {
    const own = await serve({
      _redirects: "/j/:a/:b /:a:b/here.txt 200\n/k a=:a /app/:a/here.txt 200\n",
    });
    expect(await own.status("/j/./x")).toBe(404);
    expect(await own.status("/k?a=..")).toBe(404);
    expect(await own.status("/k?a=%2e%2e")).toBe(404);
    expect(await own.status("/k?a=%2e%2e%2f..")).toBe(404);
    const open = await serve(
      { _redirects: "/k a=:a /app/:a/here.txt 200\n/up a=:a /:a 200\n" },
      { dotfiles: "serve" },
    );
    expect(await open.status("/k?a=..")).toBe(404);
    expect(await open.status("/up?a=_redirects")).toBe(404);
    expect(await open.status("/up?a=.torito/site")).toBe(404);
  });

  test("a target that would be too long is 414", async () => {
    const own = await serve({ _redirects: "/x/* /:splat/:splat/:splat 301\n" });
    expect(await own.status(`/x/${"y".repeat(2000)}`)).toBe(414);
    expect(await own.status(`/x/${"%20".repeat(1000)}`)).toBe(414);
  });

  test("rules go before the fallback, and their headers are those of the request's path", async () => {
    const own = await serve(
      {
        _redirects: "/moved/* /new/:splat\n/alias /here.txt 200\n",
        _headers: "/alias\n  X-A: alias\n/here.txt\n  X-A: here\n/moved/*\n  X-B: moved\n",
      },
      { fallback: "/index.html" },
    );
    expect((await own.ask("/moved/x")).one("location")).toBe("/new/x");
    expect((await own.ask("/moved/x")).one("x-b")).toBe("moved");
    expect((await own.ask("/alias")).one("x-a")).toBe("alias");
    expect((await own.ask("/alias")).body).toBe("here");
    expect((await own.ask("/other")).body).toBe("<h1>home</h1>");
  });
});

describe("a reload", () => {
  test("replaces options and rules, and faulty files leave everything as it was", async () => {
    const folder = makeSite({ ...FILES, _redirects: "/x /one\n" });
    const guest = await SiteGuest.serve(folder);
    expect((await guest.ask("/x")).one("location")).toBe("/one");
    putFile(folder, "_redirects", "/x /two\n");
    expect((await guest.ask("/x")).one("location")).toBe("/one");
    guest.reload({ cors: ["*"], types: { js: "text/plain" } });
    const answer = await guest.ask("/x");
    expect(answer.one("location")).toBe("/two");
    expect(answer.one("access-control-allow-origin")).toBe("*");
    expect((await guest.ask("/a.js")).one("content-type")).toBe("text/plain");
    guest.reload();
    expect((await guest.ask("/a.js")).one("content-type")).toBe("text/javascript; charset=utf-8");
  });

  test("a hundred of them under load give back what they took", async () => {
    const folder = makeSite({ ...FILES, _headers: "/*\n  X-N: 0\n" });
    const guest = await SiteGuest.serve(folder);
    for (let i = 1; i <= 100; i++) {
      putFile(folder, "_headers", `/*\n  X-N: ${i}\n  X-Long: ${"v".repeat(900)}\n`);
      const early = guest.ask("/here.txt");
      guest.reload();
      const [a, b] = [await early, await guest.ask("/here.txt")];
      expect([a.status, b.status, b.one("x-n")]).toEqual([200, 200, `${i}`]);
    }
  });
});
