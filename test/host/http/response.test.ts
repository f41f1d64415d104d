// Responses as fetch() of a guest reads them: framing of bodies, interim responses, and everything
// that RFC 9112 forbids. The same bytes are read whole and split at every place.
import { describe, expect, test } from "vitest";
import { FetchError } from "../../../host/http/fetch-error.ts";
import type { ResponseHead } from "../../../host/http/response-head.ts";
import { ResponseReader } from "../../../host/http/response-reader.ts";

interface Read {
  readonly status: number;
  readonly fields: [string, string][];
  readonly body: string;
  readonly isComplete: boolean;
  readonly persists: boolean;
  /** Did all bytes belong to the response? */
  readonly isAll: boolean;
}

/** Reads a response, cut into pieces at `cuts`, and its end if `ends`. */
function read(text: string, cuts: readonly number[] = [], method = "GET", ends = false): Read {
  const heads: ResponseHead[] = [];
  let body = "";
  let isComplete = false;
  let isAll = true;
  const reader = new ResponseReader({
    head: (head) => heads.push(head),
    body: (part) => {
      expect(part.length).toBeGreaterThan(0);
      body += Buffer.from(part).toString("latin1");
    },
    complete: () => {
      isComplete = true;
    },
  });
  reader.begin(method);
  const bytes = Buffer.from(text, "latin1");
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    isAll = reader.push(bytes.subarray(from, cut)) && isAll;
    from = cut;
  }
  if (ends) reader.end();
  const [head] = heads;
  const { status = 0, fields = [], persists = false } = head ?? {};
  return { status, fields, body, isComplete, persists, isAll };
}

/** The same result whole, cut in two at every place, and byte by byte. */
function readEverywhere(text: string, method = "GET", ends = false): Read {
  const whole = read(text, [], method, ends);
  for (let cut = 1; cut < text.length; cut++) {
    expect(read(text, [cut], method, ends), `cut at ${cut}`).toEqual(whole);
  }
  const everywhere = Array.from({ length: text.length - 1 }, (_, i) => i + 1);
  expect(read(text, everywhere, method, ends)).toEqual(whole);
  return whole;
}

const OK = "HTTP/1.1 200 OK\r\n";

describe("a body", () => {
  test("ends after Content-Length bytes", () => {
    const got = readEverywhere(`${OK}Content-Length: 5\r\nX: a\r\n\r\nhello`);
    expect(got).toMatchObject({ status: 200, body: "hello", isComplete: true, persists: true });
    expect(got.fields).toEqual([
      ["Content-Length", "5"],
      ["X", "a"],
    ]);
  });

  test("ends after the last chunk, whose trailer is dropped", () => {
    const chunks =
      '5\r\nhello\r\n00C;a="b\\""\r\n, chunked wo\r\n4;c;d=e\r\nrld!\r\n0\r\nX-Sum: 1\r\n\r\n';
    const got = readEverywhere(`${OK}Transfer-Encoding: Chunked\r\n\r\n${chunks}`);
    expect(got).toMatchObject({ body: "hello, chunked world!", isComplete: true, persists: true });
  });

  test("ends with the connection if nothing else says so", () => {
    const got = readEverywhere(`${OK}\r\nuntil the end`, "GET", true);
    expect(got).toMatchObject({ body: "until the end", isComplete: true, persists: false });
  });

  test.each([
    ["HEAD", `${OK}Content-Length: 5\r\n\r\n`],
    ["HEAD", `${OK}Transfer-Encoding: chunked\r\n\r\n`],
    ["GET", "HTTP/1.1 204 No Content\r\n\r\n"],
    ["GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"],
    ["GET", `${OK}Content-Length: 0\r\n\r\n`],
  ])("is absent in answer to %s: %j", (method, text) => {
    const got = readEverywhere(text, method);
    expect(got).toMatchObject({ body: "", isComplete: true, persists: true, isAll: true });
  });

  test("is followed by nothing: excess bytes are reported", () => {
    expect(read(`${OK}Content-Length: 2\r\n\r\nokHTTP`)).toMatchObject({
      body: "ok",
      isAll: false,
    });
  });
});

test("drops interim responses", () => {
  const interim = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n";
  const got = readEverywhere(`${interim}${OK}Content-Length: 2\r\n\r\nok`);
  expect(got).toMatchObject({ status: 200, body: "ok", isComplete: true });
});

test.each([
  ["1.1", "", true],
  ["1.1", "Connection: close\r\n", false],
  ["1.1", "Connection: Upgrade, CLOSE\r\n", false],
  ["1.1", "Connection: x\r\nConnection: close\r\n", false],
  ["1.0", "", false],
  ["1.0", "Connection: keep-alive\r\n", true],
])("HTTP/%s with %j persists: %s", (version, fields, persists) => {
  const text = `HTTP/${version} 200 OK\r\n${fields}Content-Length: 0\r\n\r\n`;
  expect(read(text).persists).toBe(persists);
});

test("accepts equal lengths, values with blanks, an empty reason and bytes above 127", () => {
  const text =
    "HTTP/1.1 200 \r\nContent-Length: 2, 2\r\ncontent-length:2\t\r\nA:  \xe9 b  \r\n\r\nok";
  const got = readEverywhere(text);
  expect(got.body).toBe("ok");
  expect(got.fields[2]).toEqual(["A", "\xe9 b"]);
});

describe("rejects", () => {
  test.each([
    ["no status line", "hello\r\n\r\n"],
    ["another version", "HTTP/2.0 200 OK\r\n\r\n"],
    ["lower case", "http/1.1 200 OK\r\n\r\n"],
    ["a status of two digits", "HTTP/1.1 20 OK\r\n\r\n"],
    ["a status of six hundred", "HTTP/1.1 600 OK\r\n\r\n"],
    ["another protocol", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"],
    ["a field without colon", `${OK}nonsense\r\n\r\n`],
    ["a field without name", `${OK}: x\r\n\r\n`],
    ["a blank before the colon", `${OK}A : x\r\n\r\n`],
    ["a folded field", `${OK}A: x\r\n y\r\n\r\n`],
    ["a bare line feed in a head", `${OK}A: x\nB: y\r\n\r\n${"x".repeat(70000)}`],
    ["a bare line feed at the end of a field", `${OK}A: x\n\r\n\r\n`],
    ["a bare carriage return in front of a value", `${OK}A:\r x\r\n\r\n`],
    ["a length that is none", `${OK}Content-Length: 5x\r\n\r\n`],
    ["a negative length", `${OK}Content-Length: -1\r\n\r\n`],
    ["a length with a sign", `${OK}Content-Length: +1\r\n\r\n`],
    ["an empty length", `${OK}Content-Length:\r\n\r\n`],
    ["two lengths", `${OK}Content-Length: 5\r\nContent-Length: 6\r\n\r\n`],
    ["two lengths in a field", `${OK}Content-Length: 5, 6\r\n\r\n`],
    ["a length beyond numbers", `${OK}Content-Length: 9999999999999999\r\n\r\n`],
    ["a length and a coding", `${OK}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ["another coding", `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n`],
    ["chunked twice", `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n`],
    ["a head that never ends", `${OK}A: ${"x".repeat(70000)}`],
    ["interim responses without end", "HTTP/1.1 100 Continue\r\n\r\n".repeat(33)],
  ])("%s", (_, text) => {
    expect(() => headers(read(text).fields)).toThrow(TypeError);
  });

  test.each([
    ["without digits", "\r\nhello\r\n"],
    ["with a sign", "+5\r\nhello\r\n"],
    ["with 0x", "0x5\r\nhello\r\n"],
    ["that overflows", "ffffffffffffffff1\r\nhello\r\n"],
    ["with a blank", "5 \r\nhello\r\n"],
    ["with an empty extension", "5;\r\nhello\r\n"],
    ["with a length in its trailer", "0\r\nContent-Length: 5\r\n\r\n"],
    ["with nonsense in its trailer", "0\r\nnonsense\r\n\r\n"],
    ["with endless extensions", `5;${"x".repeat(5000)}`],
    ["without its line end", "5\r\nhelloX\r\n0\r\n\r\n"],
    ["followed by endless trailers", `0\r\n${"A: b\r\n".repeat(4000)}`],
  ])("a chunk %s", (_, chunks) => {
    const text = `${OK}Transfer-Encoding: chunked\r\n\r\n${chunks}`;
    expect(() => read(text)).toThrow(FetchError);
  });

  test.each([
    ["in the head", OK],
    ["in a body of known length", `${OK}Content-Length: 5\r\n\r\nhell`],
    ["in a chunk", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhel`],
    ["before the last chunk", `${OK}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n`],
    ["in the trailer", `${OK}Transfer-Encoding: chunked\r\n\r\n0\r\n`],
  ])("an end %s", (_, text) => {
    expect(() => read(text, [], "GET", true)).toThrow("ends too early");
  });
});

/** The last check of names and values is that of the class that holds them. */
function headers(fields: [string, string][]): Headers {
  return new Headers(fields);
}
