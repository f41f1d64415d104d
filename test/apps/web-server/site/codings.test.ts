// Precompressed siblings: which of them is sent, and what the answers say.
import { execFileSync } from "node:child_process";
import { linkSync, mkdirSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { removeFolders } from "../../../support/appliance.ts";
import {
  type Answer,
  MTIME,
  makeSite,
  parseAnswer,
  putFile,
  requestText,
  SiteGuest,
  stopGuests,
} from "../../../support/site-guest.ts";
import { Client, serve } from "../../../support/web-server-script.ts";

const script = "go();\n".repeat(2000);
const bytes = (text: string) => Buffer.from(text, "latin1");
const br = brotliCompressSync(script);
const gz = gzipSync(script);
/** The guest sends bytes, whatever they are. */
const zst = "not really zstd";

const folder = makeSite({
  "a.js": script,
  "a.js.br": br,
  "a.js.gz": gz,
  "a.js.zst": zst,
  "gz.js": script,
  "gz.js.gz": gz,
  "plain.js": script,
  "docs/index.html": "<p>docs</p>".repeat(20),
  "docs/index.html.br": brotliCompressSync("<p>docs</p>".repeat(20)),
});
let guest: SiteGuest;
beforeAll(async () => {
  guest = await SiteGuest.serve(folder);
});
afterAll(() => {
  stopGuests();
  removeFolders();
});

const ask = (path: string, ...accepted: string[]): Promise<Answer> =>
  guest.ask(
    path,
    accepted.map((one) => `Accept-Encoding: ${one}`),
  );
const codingOf = async (...accepted: string[]) =>
  (await ask("/a.js", ...accepted)).one("content-encoding") ?? "identity";

describe("SI2 the coding", () => {
  const cases: [string, string][] = [
    ["br, gzip, zstd", "br"],
    ["gzip, zstd", "zstd"],
    ["gzip", "gzip"],
    ["x-gzip", "gzip"],
    ["GZIP", "gzip"],
    ["br;q=0.5, gzip;q=0.9", "gzip"],
    ["br;q=0.9, gzip;q=0.900, zstd;q=0.899", "br"],
    ["br;q=0, gzip;q=0", "identity"],
    ["*", "br"],
    ["*;q=0.1, gzip;q=0.2", "gzip"],
    ["br;q=0, *", "zstd"],
    ["*;q=0", "identity"],
    ["*;q=0, gzip", "gzip"],
    ["identity", "identity"],
    ["identity;q=0", "identity"],
    ["identity;q=0, deflate", "identity"],
    ["identity;q=1, gzip;q=0.5", "identity"],
    ["identity, gzip", "gzip"],
    ["deflate, compress", "identity"],
    ["", "identity"],
    [" , ,gzip ; q=0.3 ,", "gzip"],
    ["gzip;q=2", "identity"],
    ["gzip;q=0.1234", "identity"],
    ["gzip;q=x", "identity"],
    ["gzip;level=9", "identity"],
    ["brr, gzipp", "identity"],
  ];
  test.each(cases)("Accept-Encoding: %s gets %s", async (accepted, coding) => {
    expect(await codingOf(accepted)).toBe(coding);
  });

  test("without Accept-Encoding it is identity, of several lines all count", async () => {
    expect(await codingOf()).toBe("identity");
    expect(await codingOf("br;q=0.1", "gzip")).toBe("gzip");
  });

  test("8 KiB with 2000 weights are read to their end", async () => {
    const many = Array.from({ length: 2000 }, () => "a,b").join(",");
    expect(await codingOf(`${many}, gzip`)).toBe("gzip");
  });
});

describe("SI2 a coded answer", () => {
  test("has the type of the file, its own length, tag and bytes", async () => {
    const [identity, coded, other] = [
      await ask("/a.js"),
      await ask("/a.js", "br"),
      await ask("/a.js", "gzip"),
    ];
    expect(bytes(coded.body)).toEqual(br);
    expect(bytes(other.body)).toEqual(gz);
    expect(identity.body).toBe(script);
    expect(coded.one("content-length")).toBe(`${br.length}`);
    expect(coded.one("content-type")).toBe("text/javascript; charset=utf-8");
    expect(coded.one("etag")).toMatch(/-br"$/);
    expect(other.one("etag")).toMatch(/-gzip"$/);
    expect(new Set([identity, coded, other].map((one) => one.one("etag"))).size).toBe(3);
  });

  test("is validated by its own tag", async () => {
    const tag = (await ask("/a.js", "br")).one("etag") as string;
    const again = await guest.ask("/a.js", ["Accept-Encoding: br", `If-None-Match: ${tag}`]);
    expect([again.status, again.one("etag"), again.body]).toEqual([304, tag, ""]);
    expect(again.all("content-encoding")).toEqual([]);
    expect(await guest.status("/a.js", `If-None-Match: ${tag}`)).toBe(200);
  });

  test("a range is one of the selected representation", async () => {
    const part = await guest.ask("/a.js", ["Accept-Encoding: gzip", "Range: bytes=2-9"]);
    expect(part.status).toBe(206);
    expect(part.one("content-range")).toBe(`bytes 2-9/${gz.length}`);
    expect(part.one("content-encoding")).toBe("gzip");
    expect(bytes(part.body)).toEqual(gz.subarray(2, 10));
    const beyond = await guest.ask("/a.js", ["Accept-Encoding: gzip", "Range: bytes=9999-"]);
    expect([beyond.status, beyond.one("content-range")]).toEqual([416, `bytes */${gz.length}`]);
  });

  test("HEAD says the same", async () => {
    const head = await guest.ask("/a.js", ["Accept-Encoding: br"], "HEAD");
    expect(head.one("content-length")).toBe(`${br.length}`);
    expect(head.one("content-encoding")).toBe("br");
    expect(head.body).toBe("");
  });

  test("the index of a folder has siblings like any file", async () => {
    const answer = await ask("/docs/", "br");
    expect(answer.one("content-encoding")).toBe("br");
    expect(answer.one("content-type")).toBe("text/html; charset=utf-8");
    expect(answer.one("cache-control")).toBe("no-cache");
  });

  test("a sibling asked for by its name is served as itself", async () => {
    const answer = await ask("/a.js.gz", "gzip");
    expect(answer.all("content-encoding")).toEqual([]);
    expect(answer.all("vary")).toEqual([]);
    expect(answer.one("content-type")).toBe("application/gzip");
    expect(bytes(answer.body)).toEqual(gz);
  });

  test("an option turns all of it off", async () => {
    const off = await SiteGuest.serve(folder, { precompressed: false });
    const answer = await off.ask("/a.js", ["Accept-Encoding: br"]);
    expect(answer.body).toBe(script);
    expect(answer.all("vary")).toEqual([]);
  });
});

describe("SI3 Vary", () => {
  test("is on every answer for a path with a sibling, and on no other", async () => {
    const range = "Range: bytes=0-1";
    const tag = (await ask("/a.js")).one("etag");
    const answers = [
      await ask("/a.js"),
      await ask("/a.js", "br"),
      await ask("/gz.js", "br"),
      await guest.ask("/a.js", [range]),
      await guest.ask("/a.js", ["Range: bytes=999999-"]),
      await guest.ask("/a.js", [`If-None-Match: ${tag}`]),
      await guest.ask("/a.js", [], "HEAD"),
    ];
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200, 206, 416, 304, 200]);
    for (const answer of answers) expect(answer.one("vary")).toBe("Accept-Encoding");
    expect((await ask("/plain.js", "br")).all("vary")).toEqual([]);
  });

  test("siblings cost a cached file no request to the host", async () => {
    // Attributes are valid for longer than the test takes.
    const own = await SiteGuest.serve(folder, {}, { attrTimeoutMs: 3_600_000 });
    const count = async (path: string, accepted: string) => {
      const headers = [`Accept-Encoding: ${accepted}`];
      const first = own.fs.stats.requests;
      await own.ask(path, headers);
      const before = own.fs.stats.requests;
      for (let i = 0; i < 20; i++) await own.ask(path, headers);
      return [before - first > 0, own.fs.stats.requests - before];
    };
    expect(await count("/plain.js", "br")).toEqual([true, 0]);
    expect(await count("/a.js", "br")).toEqual([true, 0]);
    expect(await count("/gz.js", "identity")).toEqual([true, 0]);
  });
});

describe("SI2 siblings that are not sent", () => {
  test("an older one, with one warning", async () => {
    putFile(folder, "old.js", script);
    putFile(folder, "old.js.br", br);
    utimesSync(`${folder}/old.js.br`, MTIME - 1, MTIME - 1);
    const own = await SiteGuest.serve(folder);
    for (let i = 0; i < 3; i++) {
      const answer = await own.ask("/old.js", ["Accept-Encoding: br"]);
      expect(answer.body).toBe(script);
      expect(answer.all("vary")).toEqual([]);
    }
    expect(own.console.match(/ignored a precompressed file that is older/g)).toHaveLength(1);
  });

  test("a folder, a FIFO, a link out of the root, and a newer one that is empty", async () => {
    const names = ["folder", "fifo", "link", "empty"];
    for (const name of names) putFile(folder, `${name}.js`, script);
    mkdirSync(`${folder}/folder.js.br`);
    execFileSync("mkfifo", [`${folder}/fifo.js.br`]);
    symlinkSync("/etc/hostname", `${folder}/link.js.br`);
    writeFileSync(`${folder}/empty.js.br`, "");
    for (const name of names) {
      const answer = await ask(`/${name}.js`, "br");
      expect([answer.status, answer.body === script], name).toEqual([200, true]);
      expect(answer.all("content-encoding")).toEqual([]);
    }
  });

  test("one that is removed or replaced while the file is cached", async () => {
    putFile(folder, "moving.js", script);
    putFile(folder, "moving.js.br", br);
    putFile(folder, "moving.js.gz", gz);
    const fresh = () => SiteGuest.serve(folder);
    const own = await fresh();
    const both = ["Accept-Encoding: br, gzip"];
    expect((await own.ask("/moving.js", both)).one("content-encoding")).toBe("br");
    rmSync(`${folder}/moving.js.br`);
    // The guest asks the host about a name once a second.
    let answer = await own.ask("/moving.js", both);
    while (answer.one("content-encoding") === "br") {
      await new Promise((resolve) => setTimeout(resolve, 50));
      answer = await own.ask("/moving.js", both);
    }
    expect(bytes(answer.body)).toEqual(gz);
    expect(answer.one("content-encoding")).toBe("gzip");
  });

  test("one that is added later is found within ten seconds", async () => {
    const site = makeSite({ "a.js": script });
    const realtimeNs = BigInt(MTIME + 1000) * 1_000_000_000n;
    const server = await serve(site, { realtimeNs });
    const codingNow = () => {
      const client = server.connect(new Client());
      client.events.data(Buffer.from(requestText("/a.js", ["Accept-Encoding: br"], "GET")));
      server.settle();
      return parseAnswer(client.received).one("content-encoding");
    };
    expect(codingNow()).toBeUndefined();
    putFile(site, "a.js.br", br);
    server.clock.advance(9_000);
    expect(codingNow()).toBeUndefined();
    server.clock.advance(1_001);
    expect(codingNow()).toBe("br");
    server.machine.dispose();
  });

  test("an empty file may have an empty sibling, and two names of one file share it", async () => {
    putFile(folder, "nothing.css", "");
    putFile(folder, "nothing.css.gz", gzipSync(""));
    expect((await ask("/nothing.css", "gzip")).one("content-encoding")).toBe("gzip");
    linkSync(`${folder}/a.js`, `${folder}/second.js`);
    expect((await ask("/second.js")).body).toBe(script);
  });
});
