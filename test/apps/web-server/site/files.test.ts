// The files of a site that WebServer serves, and under which names.
import { mkdirSync, symlinkSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeFolders } from "../../../support/appliance.ts";
import { makeSite, SiteGuest, stopGuests } from "../../../support/site-guest.ts";

const folder = makeSite({
  "index.html": "<h1>home</h1>",
  "about.html": "<p>about",
  "both.html": "<p>page",
  both: "file",
  "mixed.html": "<p>mixed page",
  "mixed/index.html": "<p>mixed folder",
  "docs/index.html": "<p>docs",
  "app.js": "go()",
  ".env": "SECRET=1",
  ".git/config": "[core]",
  "sub/.htaccess": "deny",
  "sub/.hidden/x.txt": "x",
  ".well-known/security.txt": "Contact: x",
  ".well-known/.secret": "x",
  "sub/.well-known/x": "x",
  _headers: "/*\n  X-A: 1\n",
  _redirects: "/from /to\n",
  "sub/_headers": "served",
});
mkdirSync(`${folder}/empty`);
symlinkSync("/etc/hostname", `${folder}/outside.txt`);
afterAll(() => {
  stopGuests();
  removeFolders();
});

let plain: SiteGuest;
beforeAll(async () => {
  plain = await SiteGuest.serve(folder);
});

describe("SI1 names that begin with a dot are hidden", () => {
  const hidden = [
    "/.env",
    "/.git/config",
    "/.git/",
    "/sub/.htaccess",
    "/sub/.hidden/x.txt",
    "/.well-known/.secret",
    "/sub/.well-known/x",
    "/%2eenv",
    "//.env",
    "/./.env",
    "/_headers",
    "/_redirects",
    "//_headers",
    "/.torito/site",
    "/%2etorito/site",
    "/.nothing",
  ];

  test.each(hidden)("%s is 404, as if it were not there", async (path) => {
    const answer = await plain.ask(path);
    expect(answer.status).toBe(404);
    expect(answer.body).toBe((await plain.ask("/nothing")).body);
  });

  test("but for what is well known, and rule files of other folders", async () => {
    expect((await plain.ask("/.well-known/security.txt")).body).toBe("Contact: x");
    expect((await plain.ask("/sub/_headers")).body).toBe("served");
  });

  test("an option serves them, and never the server's own files", async () => {
    const open = await SiteGuest.serve(folder, { dotfiles: "serve" });
    expect((await open.ask("/.env")).body).toBe("SECRET=1");
    expect((await open.ask("/.git/config")).body).toBe("[core]");
    expect((await open.ask("/sub/.well-known/x")).body).toBe("x");
    const own = ["/_headers", "/_redirects", "/.torito/site", "/./.torito/site", "//.torito/site"];
    for (const path of own) expect(await open.status(path), path).toBe(404);
  });
});

describe("SI7 clean URLs", () => {
  let clean: SiteGuest;
  beforeAll(async () => {
    clean = await SiteGuest.serve(folder, { "clean-urls": true });
  });

  test("are an option", async () => {
    expect(await plain.status("/about")).toBe(404);
    expect((await plain.ask("/about.html")).body).toBe("<p>about");
  });

  test("a page is served without .html, which is redirected", async () => {
    expect((await clean.ask("/about")).body).toBe("<p>about");
    const moved = await clean.ask("/about.html?a=1");
    expect(moved.status).toBe(301);
    expect(moved.one("location")).toBe("/about?a=1");
    expect((await clean.ask("/docs/index.html")).one("location")).toBe("/docs/");
    expect((await clean.ask("/index.html")).one("location")).toBe("/");
  });

  test("the file itself goes first, then the page, then the folder", async () => {
    expect((await clean.ask("/both")).body).toBe("file");
    expect((await clean.ask("/mixed")).body).toBe("<p>mixed page");
    expect((await clean.ask("/mixed/")).body).toBe("<p>mixed folder");
    expect((await clean.ask("/docs")).one("location")).toBe("/docs/");
  });

  test("no redirect leads to a second one, or to another file", async () => {
    // The file of that name is another one, so the page keeps its own.
    expect((await clean.ask("/both.html")).body).toBe("<p>page");
    const paths = ["/about.html", "/mixed.html", "/docs", "/docs/index.html", "/index.html"];
    for (const path of paths) {
      const moved = await clean.ask(path);
      expect(moved.status, path).toBe(301);
      expect(await clean.status(moved.one("location") as string), path).toBe(200);
    }
    expect(await clean.status("/nothing.html")).toBe(404);
    expect(await clean.status("/nothing")).toBe(404);
  });

  test("an ending with escapes is served as it is", async () => {
    expect((await clean.ask("/about%2Ehtml")).body).toBe("<p>about");
    expect((await clean.ask("/docs/index%2ehtml")).body).toBe("<p>docs");
    expect((await clean.ask("/%61bout.html")).one("location")).toBe("/%61bout");
  });

  test("a redirect never leads to another server", async () => {
    expect((await clean.ask("//about.html")).one("location")).toBe("/about");
  });
});

describe("SI6 an application in one page", () => {
  let app: SiteGuest;
  beforeAll(async () => {
    app = await SiteGuest.serve(folder, { fallback: "/index.html" });
  });

  test("its page answers for paths that are no files", async () => {
    for (const path of ["/users/7", "/a/b/c/", "/empty/", "/x?y=1.js"]) {
      const answer = await app.ask(path);
      expect(answer.status, path).toBe(200);
      expect(answer.body).toBe("<h1>home</h1>");
      expect(answer.one("cache-control")).toBe("no-cache");
    }
    const head = await app.ask("/users/7", [], "HEAD");
    expect(head.one("content-length")).toBe("13");
  });

  test("missing scripts and images stay 404", async () => {
    for (const path of ["/missing.js", "/img/x.png", "/a.b/.c"]) {
      expect(await app.status(path), path).toBe(404);
    }
    expect((await app.ask("/app.js")).body).toBe("go()");
    expect(await app.status("/dotted.name/page")).toBe(200);
  });

  test("only where a page is accepted", async () => {
    const admits = async (...lines: string[]) => app.status("/users/7", ...lines);
    expect(await admits("Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8")).toBe(200);
    expect(await admits("Accept: */*")).toBe(200);
    expect(await admits("Accept: text/*;q=0.1")).toBe(200);
    expect(await admits("Accept: text/html;level=1;q=0.5")).toBe(200);
    expect(await admits("Accept: image/png", "Accept: text/html")).toBe(200);
    expect(await admits("Accept: application/json")).toBe(404);
    expect(await admits("Accept: text/html;q=0, */*")).toBe(404);
    expect(await admits("Accept: */*, text/html; q=0.000")).toBe(404);
    expect(await admits("Accept:")).toBe(404);
  });

  test("hidden names are not pages of it", async () => {
    expect(await app.status("/.git")).toBe(404);
  });
});

test("links inside the site are followed, also through names that are hidden", async () => {
  // As volumes of Kubernetes are made: ..data is a link to a folder with a date in its name.
  const volume = makeSite({ "..2026_11_27/index.html": "mounted" });
  symlinkSync("..2026_11_27", `${volume}/..data`);
  symlinkSync("..data/index.html", `${volume}/index.html`);
  const guest = await SiteGuest.serve(volume);
  expect((await guest.ask("/")).body).toBe("mounted");
  expect(await guest.status("/..data/index.html")).toBe(404);
});

test("a guest without settings has the defaults", async () => {
  const bare = await SiteGuest.serveWithoutSettings(folder);
  for (const path of ["/", "/app.js", "/about", "/about.html", "/empty/", "/.env", "/from"]) {
    const [a, b] = [await plain.ask(path), await bare.ask(path)];
    const undated = (head: string) => head.replace(/^(Date|X-A): .*\r\n/gm, "");
    if (path === "/from") expect([a.status, b.status]).toEqual([301, 404]);
    else expect(undated(b.head)).toBe(undated(a.head));
  }
});

test("a folder without an index is 404, and a link out of the root too", async () => {
  expect(await plain.status("/empty/")).toBe(404);
  expect(await plain.status("/outside.txt")).toBe(404);
  const moved = await plain.ask("/docs?a=b");
  expect([moved.status, moved.one("location")]).toEqual([301, "/docs/?a=b"]);
});
