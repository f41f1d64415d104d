// WebServer's dates and validators (RFC 9110, 5.6.7, 8.8 and 13.1), on a clock that the test sets.
import { utimesSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const YEAR_S = 365 * 86400;
const date = (seconds: number) => new Date(seconds * 1000).toUTCString();

/** A site of one file with that mtime, on a machine whose clock shows `nowS`. */
async function serveFile(mtimeS: number, nowS = Math.floor(Date.now() / 1000) + 3600) {
  const site = makeFolder();
  writeFileSync(`${site}/file.txt`, "0123456789");
  utimesSync(`${site}/file.txt`, new Date(mtimeS * 1000), new Date(mtimeS * 1000));
  const realtimeNs = BigInt(Math.round(nowS * 1e6)) * 1000n;
  const server = await serve(site, { realtimeNs });
  const get = (headers = "", method = "GET") => {
    const client = server.connect(new Client());
    const head = `${method} /file.txt HTTP/1.1\r\nHost: x\r\n${headers && `${headers}\r\n`}\r\n`;
    client.events.data(Buffer.from(head));
    server.settle();
    const [response] = parseResponses(client.received, method === "HEAD" ? [0] : []);
    client.events.closed();
    return response!;
  };
  return { get, machine: server.machine, clock: server.clock };
}

describe("Last-Modified", () => {
  test.each([
    ["1994", 784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"],
    ["the last second of 1969", -1, "Wed, 31 Dec 1969 23:59:59 GMT"],
    ["1960, which is long before times begin", -315_619_199, "Fri, 01 Jan 1960 00:00:01 GMT"],
    ["a leap day", 951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"],
  ])("of %s", async (_, mtime, text) => {
    const { get, machine } = await serveFile(mtime);
    expect(get().headers.get("last-modified")).toBe(text);
    expect(get(`If-Modified-Since: ${text}`).status).toBe(304);
    expect(get(`If-Modified-Since: ${date(mtime - 1)}`).status).toBe(200);
    machine.dispose();
  });

  test("is never later than Date, in whatever answer, and then never a reason for 304", async () => {
    const now = Math.floor(Date.now() / 1000) + 3600;
    const { get, machine, clock } = await serveFile(now + YEAR_S, now);
    for (const [headers, method] of [
      ["", "GET"],
      ["", "HEAD"],
      ["Range: bytes=0-1", "GET"],
      ["If-None-Match: *", "GET"],
    ]) {
      const response = get(headers, method);
      expect(response.headers.get("date")).toBe(date(now));
      expect(response.headers.get("last-modified")).toBe(date(now));
    }
    clock.advance(1000);
    expect(get().headers.get("last-modified")).toBe(date(now + 1));
    expect(get(`If-Modified-Since: ${date(now)}`).status).toBe(200);
    machine.dispose();
  });

  test("is not later than Date either when the clock is set back to before a cached file's time", async () => {
    const now = Math.floor(Date.now() / 1000) + 3600;
    const { get, machine, clock } = await serveFile(now - 60, now);
    for (const [setTo, modified] of [
      [now, now - 60],
      [now - 3600, now - 3600],
      [now, now - 60],
    ] as const) {
      clock.setRealtime(BigInt(setTo) * 1_000_000_000n);
      clock.advance(100);
      const { headers } = get();
      expect(headers.get("date")).toBe(date(setTo));
      expect(headers.get("last-modified")).toBe(date(modified));
    }
    machine.dispose();
  });
});

describe("If-Modified-Since is read in all forms that there have been", () => {
  const MTIME = 784_111_777;
  test.each([
    ["Sun, 06 Nov 1994 08:49:37 GMT", 304],
    ["Sunday, 06-Nov-94 08:49:37 GMT", 304],
    ["Sun Nov  6 08:49:37 1994", 304],
    ["Sun Nov 16 08:49:37 1994", 304],
    ["Sunday, 06-Nov-94 08:49:36 GMT", 200],
    ["Sun Nov  6 08:49:36 1994", 200],
    ["Wednesday, 09-Nov-94 08:49:37 GMT", 304],
    ["Sun, 06 Nov 1994 08:49:60 GMT", 304], // a leap second
    ["Fri, 31 Dec 9999 23:59:59 GMT", 304],
  ])("%s", async (since, status) => {
    const { get, machine } = await serveFile(MTIME);
    expect(get(`If-Modified-Since: ${since}`).status).toBe(status);
    machine.dispose();
  });

  test.each([
    "Sun, 06 Nov 1994 08:49:37",
    "Sun, 06 Nov 1994 08:49:37 UTC",
    "Sun, 6 Nov 1994 08:49:37 GMT",
    "sun, 06 Nov 1994 08:49:37 GMT",
    "Sun, 06 nov 1994 08:49:37 GMT",
    "Sun, 31 Nov 1994 08:49:37 GMT",
    "Sun, 00 Nov 1994 08:49:37 GMT",
    "Tue, 29 Feb 2023 08:49:37 GMT",
    "Sun, 06 Nov 1994 24:00:00 GMT",
    "Sun, 06 Nov 1994 08:60:00 GMT",
    "Sun, 06 Nov 1994 08-49-37 GMT",
    "Xyz, 06 Nov 1994 08:49:37 GMT",
    "Someday, 06-Nov-94 08:49:37 GMT",
    "Sunday, 06 Nov 94 08:49:37 GMT",
    "Sun Nov  6 08:49:37 94",
    "Sun Nov 6 08:49:37 1994",
    "784111777",
    "yesterday, when all my troubles",
  ])("%s is no date, and ignored", async (since) => {
    const { get, machine } = await serveFile(MTIME);
    expect(get(`If-Modified-Since: ${since}`).status).toBe(200);
    machine.dispose();
  });

  test("a year of two digits that would be more than 50 years ahead is in the past", async () => {
    // It is 2026: 76 is 2076, 77 is 1977.
    const now = Date.UTC(2026, 10, 27) / 1000;
    const { get, machine } = await serveFile(Date.UTC(1990, 0, 1) / 1000, now);
    expect(get("If-Modified-Since: Monday, 01-Jun-76 00:00:00 GMT").status).toBe(304);
    expect(get("If-Modified-Since: Wednesday, 01-Jun-77 00:00:00 GMT").status).toBe(200);
    expect(get("If-Modified-Since: Wednesday, 01-Jun-94 00:00:00 GMT").status).toBe(304);
    machine.dispose();
  });
});

describe("tags", () => {
  test("ET1: are seconds and size, weak for 2 s after a change and strong from then on", async () => {
    const now = Math.floor(Date.now() / 1000) + 3600;
    const { get, machine, clock } = await serveFile(now - 1, now);
    const tag = `"${(now - 1).toString(16)}-a"`;
    expect(get().headers.get("etag")).toBe(`W/${tag}`);
    expect(get(`If-None-Match: W/${tag}`).status).toBe(304);
    expect(get(`If-None-Match: ${tag}`).status).toBe(304);
    expect(get("Range: bytes=0-1").status).toBe(206);
    for (const one of [tag, `W/${tag}`]) {
      expect(get(`Range: bytes=0-1\r\nIf-Range: ${one}`).status).toBe(200);
      expect(get(`If-Match: ${one}`).status).toBe(412); // ET4
    }
    clock.advance(1000);
    expect(get().headers.get("etag")).toBe(tag);
    expect(get(`If-None-Match: W/${tag}`).status).toBe(304);
    expect(get(`Range: bytes=0-1\r\nIf-Range: ${tag}`).status).toBe(206);
    expect(get(`If-Match: ${tag}`).status).toBe(200);
    expect(get(`Range: bytes=0-1\r\nIf-Range: W/${tag}`).status).toBe(200); // ET4
    expect(get(`If-Match: W/${tag}`).status).toBe(412);
    machine.dispose();
  });

  test("ET1: are those of nginx", async () => {
    const { get, machine } = await serveFile(1_700_000_000);
    expect(get().headers.get("etag")).toBe('"6553f100-a"');
    machine.dispose();
  });

  test("ET5: a 304 has tag and dates, and nothing of a body", async () => {
    const { get, machine } = await serveFile(1_700_000_000);
    const { headers } = get("If-None-Match: *");
    const names = [...headers.keys()].filter((name) => !/^(server|connection|x-.*)$/.test(name));
    expect(names.sort()).toEqual(["date", "etag", "last-modified"]);
    machine.dispose();
  });

  test("ET6: each answer has a Date, of its second", async () => {
    const now = Math.floor(Date.now() / 1000);
    const { get, machine, clock } = await serveFile(1_700_000_000, now);
    const answers = () => [
      get(),
      get("", "HEAD"),
      get("If-None-Match: *"),
      get("Range: bytes=0-1"),
      get("Range: bytes=10-"),
      get('If-Match: "x"'),
      get("Expect: x"),
      get("Host: y"),
      get("", "PUT"),
    ];
    for (let second = 0; second < 3; second++) {
      for (const { headers } of answers()) expect(headers.get("date")).toBe(date(now + second));
      clock.advance(1000);
    }
    machine.dispose();
  });

  test("a date serves as If-Range only if it is exact, and a second older than the response", async () => {
    const now = Math.floor(Date.now() / 1000) + 3600;
    const { get, machine, clock } = await serveFile(now, now);
    const part = `Range: bytes=0-1\r\nIf-Range: ${date(now)}`;
    expect(get(part).status).toBe(200);
    clock.advance(1000);
    expect(get(part).status).toBe(206);
    expect(get(`Range: bytes=0-1\r\nIf-Range: ${date(now + 1)}`).status).toBe(200);
    machine.dispose();
  });
});
