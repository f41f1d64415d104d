// The site's own page for what is missing, and listings of folders.
import { mkdirSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../../../support/appliance.ts";
import { makeSite, putFile, SiteGuest, stopGuests } from "../../../support/site-guest.ts";

afterAll(() => {
  stopGuests();
  removeFolders();
});

describe("SI5 404.html", () => {
  test("comes with status 404 and no-cache, and is never 304 or a part", async () => {
    const guest = await SiteGuest.serve(makeSite({ "404.html": "<p>gone", "a.txt": "a" }));
    const answer = await guest.ask("/missing");
    expect([answer.status, answer.body]).toEqual([404, "<p>gone"]);
    expect(answer.one("content-type")).toBe("text/html; charset=utf-8");
    expect(answer.one("cache-control")).toBe("no-cache");
    for (const name of ["etag", "last-modified", "accept-ranges"]) {
      expect(answer.all(name)).toEqual([]);
    }
    const tag = (await guest.ask("/404.html")).one("etag");
    expect(await guest.status("/missing", `If-None-Match: ${tag}`, "Range: bytes=0-1")).toBe(404);
    expect(await guest.status("/missing", "If-None-Match: *")).toBe(404);
    const head = await guest.ask("/missing", [], "HEAD");
    expect([head.status, head.one("content-length"), head.body]).toEqual([404, "7", ""]);
    expect(await guest.status("/404.html")).toBe(200);
    expect((await guest.ask("/.env")).body).toBe("<p>gone");
  });

  test("is a line of text where there is none, or a link out of the root", async () => {
    const folder = makeSite({ "a.txt": "a" });
    const guest = await SiteGuest.serve(folder);
    expect((await guest.ask("/missing")).body).toBe("404 Not Found\n");
    const other = makeSite({ "a.txt": "a" });
    symlinkSync("/etc/hostname", `${other}/404.html`);
    expect((await (await SiteGuest.serve(other)).ask("/missing")).body).toBe("404 Not Found\n");
    mkdirSync(`${folder}/404.html`);
    expect((await (await SiteGuest.serve(folder)).ask("/missing")).body).toBe("404 Not Found\n");
  });

  test("may be huge, or empty", async () => {
    const folder = makeSite({ "404.html": "" });
    const guest = await SiteGuest.serve(folder);
    expect(await guest.ask("/missing")).toMatchObject({ status: 404, body: "" });
    truncateSync(`${folder}/404.html`, 5_000_000);
    const huge = await SiteGuest.serve(folder);
    const answer = await huge.ask("/missing");
    expect([answer.status, answer.body.length]).toEqual([404, 5_000_000]);
  });

  test("it is served with clean URLs too", async () => {
    const guest = await SiteGuest.serve(makeSite({ "404.html": "gone" }), { "clean-urls": true });
    expect(await guest.ask("/missing")).toMatchObject({ status: 404, body: "gone" });
  });
});

describe("SI8 a listing", () => {
  const NAMES = [
    "b.txt",
    "a b.txt",
    'q"><script>.txt',
    "a&b'.txt",
    "c:d",
    "ü.txt",
    "%41.txt",
    "#x",
  ];
  let guest: SiteGuest;
  let folder: string;
  beforeAll(async () => {
    folder = makeSite({ ".hidden": "", _headers: "", "sub/index.html": "x", "dir/.keep": "" });
    for (const name of NAMES) putFile(folder, `list/${name}`, name);
    mkdirSync(`${folder}/list/folder`);
    putFile(folder, "list/.env", "secret");
    guest = await SiteGuest.serve(folder, { listing: true });
  });

  const links = (body: string) =>
    [...body.matchAll(/<li><a href="([^"]*)">([^<]*)<\/a>/g)].slice(1).map(([, href]) => href);

  test("is an option, for folders without an index", async () => {
    const plain = await SiteGuest.serve(folder);
    expect(await plain.status("/list/")).toBe(404);
    expect((await guest.ask("/sub/")).body).toBe("x");
    expect(await guest.status("/list/")).toBe(200);
    expect(await guest.status("/nothing/")).toBe(404);
    expect((await guest.ask("/list")).one("location")).toBe("/list/");
  });

  test("is sorted, and escaped for HTML and for URLs separately", async () => {
    const { body, one } = await guest.ask("/list/");
    expect(links(body)).toEqual([
      "%23x",
      "%2541.txt",
      "a%20b.txt",
      "a%26b%27.txt",
      "b.txt",
      "c%3Ad",
      "folder/",
      "q%22%3E%3Cscript%3E.txt",
      "%C3%BC.txt",
    ]);
    expect(body).toContain(">q&quot;&gt;&lt;script&gt;.txt</a>");
    expect(body).toContain(">a&amp;b&#39;.txt</a>");
    expect(body).not.toContain("<script");
    expect(one("content-type")).toBe("text/html; charset=utf-8");
    expect(one("content-length")).toBe(`${body.length}`);
    for (const href of links(body)) {
      if (!href?.endsWith("/")) expect(await guest.status(`/list/${href}`), href).toBe(200);
    }
  });

  test("is not for robots and caches, and leaves hidden names out", async () => {
    const listing = await guest.ask("/list/");
    expect(listing.one("x-robots-tag")).toBe("noindex");
    expect(listing.one("cache-control")).toBe("no-cache");
    expect(listing.body).not.toContain(".env");
    const root = (await guest.ask("/")).body;
    expect(links(root)).toEqual(["dir/", "list/", "sub/"]);
    expect(links((await guest.ask("/dir/")).body)).toEqual([]);
    for (const path of ["//", "/./", "/.//"]) {
      expect(links((await guest.ask(path)).body), path).toEqual(links(root));
    }
    const open = await SiteGuest.serve(folder, { listing: true, dotfiles: "serve" });
    expect(links((await open.ask("/")).body)).toEqual([".hidden", "dir/", "list/", "sub/"]);
    const head = await guest.ask("/list/", [], "HEAD");
    expect([head.status, head.body]).toEqual([200, ""]);
  });

  test("its title is escaped", async () => {
    mkdirSync(`${folder}/<b>&`);
    const { body } = await guest.ask("/%3Cb%3E&/");
    expect(body).toContain("<title>Index of /&lt;b&gt;&amp;/</title>");
    rmSync(`${folder}/<b>&`, { recursive: true });
  });

  test("of 100,000 entries shows 10,000, and others are served meanwhile", async () => {
    const many = makeFolder();
    const script = '"><script>'.padEnd(60, "x");
    for (let i = 0; i < 100_000; i++) writeFileSync(`${many}/${script}${i}`, "");
    const own = await SiteGuest.serve(many, { listing: true });
    const listing = own.ask("/");
    expect(await own.status("/nothing")).toBe(404);
    const { status, body, one } = await listing;
    expect(status).toBe(200);
    expect(links(body)).toHaveLength(10_000);
    expect(links(body)).toEqual(links(body).sort());
    expect(body).toContain("There are more entries");
    expect(body).not.toContain("<script");
    expect(one("content-length")).toBe(`${body.length}`);
  });
});
