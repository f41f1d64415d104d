// Preconditions in the order of RFC 9110, 13.2.2, of a file whose clock the test sets.
import { utimesSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

const MTIME = 784_111_777; // Sun, 06 Nov 1994 08:49:37 GMT
const TAG = `"${MTIME.toString(16)}-a"`;
const SAME = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE = "Sun, 06 Nov 1994 08:49:36 GMT";
/** The date of the file, or of the second before it, in the obsolete forms. */
const FORMS = {
  same: [SAME, "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
  before: [BEFORE, "Sunday, 06-Nov-94 08:49:36 GMT", "Sun Nov  6 08:49:36 1994"],
};

let server: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  const site = makeFolder();
  writeFileSync(`${site}/file`, "0123456789");
  utimesSync(`${site}/file`, MTIME, MTIME);
  server = await serve(site, { realtimeNs: BigInt(Date.now()) * 1_000_000n });
});
afterAll(() => {
  server.machine.dispose();
  removeFolders();
});

function ask(fields: readonly string[], method = "GET", path = "/file") {
  const client = server.connect(new Client());
  const lines = [`${method} ${path} HTTP/1.1`, "Host: x", ...fields, "", ""];
  client.events.data(Buffer.from(lines.join("\r\n"), "latin1"));
  server.settle();
  const [response] = parseResponses(client.received, method === "HEAD" ? [0] : []);
  client.events.closed();
  return response!;
}
const statusOf = (...fields: string[]) => ask(fields).status;

describe("SI12: If-Match", () => {
  test.each([
    [TAG, 200],
    ["*", 200],
    [`"a", ${TAG} , "b"`, 200],
    ['"a"', 412],
    [`W/${TAG}`, 412],
    ["", 412],
    [TAG.slice(0, -1), 412],
    [`"a${TAG}`, 412],
    [`*, "a"`, 412],
  ])("ET4: %s is %d", (tags, status) => {
    expect(statusOf(`If-Match: ${tags}`)).toBe(status);
    expect(ask([`If-Match: ${tags}`], "HEAD").status).toBe(status);
  });

  test("in several lines is one list", () => {
    expect(statusOf('If-Match: "a"', "If-None-Match:", `if-match: "b", ${TAG}`)).toBe(200);
    expect(statusOf('If-Match: "a"', 'If-Match: "b"')).toBe(412);
  });

  test("does not make what is not there", () => {
    expect(ask(["If-Match: *"], "GET", "/missing").status).toBe(404);
  });
});

describe("SI12: If-None-Match", () => {
  test.each([
    [TAG, 304],
    [`W/${TAG}`, 304],
    ["*", 304],
    [`"a",,\t${TAG}`, 304],
    ['"a"', 200],
    ["", 200],
    [`w/${TAG}`, 200],
    [`"a" x ${TAG}`, 200],
  ])("ET4: %s is %d", (tags, status) => {
    expect(statusOf(`If-None-Match: ${tags}`)).toBe(status);
  });

  test("in several lines is one list", () => {
    expect(statusOf('If-None-Match: "a"', "A: b", `If-None-Match: ${TAG}`)).toBe(304);
    expect(statusOf('If-None-Match: "a"', 'If-None-Match: "b"')).toBe(200);
    expect(statusOf("If-None-Match:", ...Array(50).fill('If-None-Match: "a"'), "A: b")).toBe(200);
  });
});

describe("SI12: dates", () => {
  test.each(FORMS.same)("%s is not before the file", (date) => {
    expect(statusOf(`If-Modified-Since: ${date}`)).toBe(304);
    expect(statusOf(`If-Unmodified-Since: ${date}`)).toBe(200);
    expect(statusOf("Range: bytes=0-1", `If-Range: ${date}`)).toBe(206);
  });

  test.each(FORMS.before)("%s is before the file", (date) => {
    expect(statusOf(`If-Modified-Since: ${date}`)).toBe(200);
    expect(statusOf(`If-Unmodified-Since: ${date}`)).toBe(412);
    expect(statusOf("Range: bytes=0-1", `If-Range: ${date}`)).toBe(200);
  });

  test("that are none, or two, are ignored", () => {
    for (const date of ["yesterday", "", `${SAME}, ${SAME}`, "Sun, 06 Nov 1994 08:49:37 CET"]) {
      expect(statusOf(`If-Modified-Since: ${date}`), date).toBe(200);
      expect(statusOf(`If-Unmodified-Since: ${date}`), date).toBe(200);
      expect(statusOf("Range: bytes=0-1", `If-Range: ${date}`), date).toBe(200);
    }
    expect(statusOf(`If-Modified-Since: ${SAME}`, `If-Modified-Since: ${SAME}`)).toBe(200);
    expect(statusOf(`If-Unmodified-Since: ${BEFORE}`, `If-Unmodified-Since: ${BEFORE}`)).toBe(200);
    expect(statusOf("Range: bytes=0-1", `If-Range: ${TAG}`, `If-Range: ${TAG}`)).toBe(200);
  });
});

describe("SI12: the order of preconditions", () => {
  test("If-Match hides If-Unmodified-Since", () => {
    expect(statusOf(`If-Match: ${TAG}`, `If-Unmodified-Since: ${BEFORE}`)).toBe(200);
    expect(statusOf('If-Match: "a"', `If-Unmodified-Since: ${SAME}`)).toBe(412);
  });

  test("412 comes before 304", () => {
    expect(statusOf('If-Match: "a"', `If-None-Match: ${TAG}`)).toBe(412);
    expect(statusOf(`If-None-Match: ${TAG}`, `If-Unmodified-Since: ${BEFORE}`)).toBe(412);
    expect(statusOf(`If-Match: ${TAG}`, `If-None-Match: ${TAG}`)).toBe(304);
  });

  test("If-None-Match hides If-Modified-Since", () => {
    expect(statusOf('If-None-Match: "a"', `If-Modified-Since: ${SAME}`)).toBe(200);
    expect(statusOf(`If-None-Match: ${TAG}`, `If-Modified-Since: ${BEFORE}`)).toBe(304);
  });

  test("Range comes after all of them, and is for GET alone", () => {
    const range = "Range: bytes=0-1";
    expect(statusOf(range, `If-None-Match: ${TAG}`)).toBe(304);
    expect(statusOf(range, 'If-Match: "a"')).toBe(412);
    expect(statusOf(range, `If-Match: ${TAG}`, `If-Range: ${TAG}`)).toBe(206);
    expect(statusOf("Range: bytes=99-", 'If-Match: "a"')).toBe(412);
    expect(statusOf("Range: bytes=99-", 'If-Range: "a"')).toBe(200);
    const head = ask([range], "HEAD");
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "10"]);
    for (const { headers } of [ask([]), ask([range]), head]) {
      expect(headers.get("accept-ranges")).toBe("bytes");
    }
  });
});
