// Parts of files (RFC 9110, 14): one or several.
import { utimesSync, writeFileSync } from "node:fs";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, serve } from "../../support/web-server-script.ts";

const LETTERS = "0123456789";
const large = Buffer.from(
  Uint8Array.from({ length: 5 * MIB }, (_, i) => (i * 7 + (i >> 10)) & 255),
);

let server: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  const site = makeFolder();
  const files = { ten: LETTERS, "page.html": LETTERS, empty: "", large };
  for (const [name, content] of Object.entries(files)) {
    writeFileSync(`${site}/${name}`, content);
    utimesSync(`${site}/${name}`, 1e9, 1e9);
  }
  server = await serve(site, { realtimeNs: BigInt(Date.now()) * 1_000_000n });
});
afterAll(() => {
  server.machine.dispose();
  removeFolders();
});

function ask(ranges: string, path = "/ten", client = new Client()) {
  server.connect(client);
  const range = ranges === "" ? "" : `Range: ${ranges}\r\n`;
  client.events.data(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n${range}\r\n`));
  server.settle();
  for (let i = 0; client.slow && !client.left && i < 5000; i++) {
    client.events.sent();
    server.settle();
  }
  const [response, ...more] = parseResponses(client.received);
  expect(more).toEqual([]);
  client.events.closed();
  return response!;
}

interface Part {
  readonly type: string | undefined;
  readonly range: string | undefined;
  readonly body: string;
}

/** The parts of a multipart body, strictly by RFC 2046, 5.1.1. */
function partsOf({ headers, body }: ReturnType<typeof ask>): Part[] {
  const type = headers.get("content-type") ?? "";
  const boundary = /^multipart\/byteranges; boundary=([0-9a-f]{32})$/.exec(type)?.[1];
  if (boundary === undefined) throw new Error(`no boundary in ${type}`);
  const pieces = `\r\n${body}`.split(`\r\n--${boundary}`);
  expect([pieces[0], pieces.at(-1)]).toEqual(["", "--\r\n"]);
  return pieces.slice(1, -1).map((piece) => {
    const end = piece.indexOf("\r\n\r\n");
    const fields = piece.slice(2, end).split("\r\n");
    const field = (name: string) =>
      fields.find((one) => one.startsWith(`${name}: `))?.slice(name.length + 2);
    const range = field("Content-Range");
    return { type: field("Content-Type"), range, body: piece.slice(end + 4) };
  });
}

describe("SI11: several ranges", () => {
  test("are the parts of one answer, in their order, each with its type and place", () => {
    const response = ask("bytes=0-1, 7-, 4-4", "/page.html");
    expect(response.status).toBe(206);
    expect(response.headers.has("content-range")).toBe(false);
    const type = "text/html; charset=utf-8";
    expect(partsOf(response)).toEqual([
      { type, range: "bytes 0-1/10", body: "01" },
      { type, range: "bytes 7-9/10", body: "789" },
      { type, range: "bytes 4-4/10", body: "4" },
    ]);
  });

  test.each([
    ["bytes=0-1,1-3", "0123"],
    ["bytes=0-1,2-3", "0123"],
    ["bytes=2-3,0-1", "0123"],
    ["bytes=0-0,2-2,1-1", "012"],
    ["bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8,9-9", LETTERS],
    ["bytes=8-,-1", "89"],
    ["bytes=3-4,99-", "34"],
    ["bytes=99-100,-0,2-2", "2"],
    ["bytes=,2-2,", "2"],
    ["Bytes=2-2", "2"],
  ])("%s join to one, which is a plain 206", (ranges, body) => {
    const response = ask(ranges);
    expect([response.status, response.body]).toEqual([206, body]);
    const first = LETTERS.indexOf(body);
    expect(response.headers.get("content-range")).toBe(
      `bytes ${first}-${first + body.length - 1}/10`,
    );
  });

  test.each([
    "bytes=5-2",
    "bytes=0-1,5-2",
    "bytes=0-1,x",
    "bytes=0-1 4-5",
    "bytes=0-1;4-5",
    "bytes=0 -1",
    "bytes= ",
    "bytes=,",
    "bytes=--1",
    "bytes 0-1",
    "lines=0-1,4-5",
    "bytes=0-,0-", // more than the file
    "bytes=0-9,5-5",
  ])("%s is ignored: 200", (ranges) => {
    const response = ask(ranges);
    expect([response.status, response.body]).toEqual([200, LETTERS]);
  });

  test.each(["bytes=10-,20-30", "bytes=-0,99-"])("%s, all beyond the end, are 416", (ranges) => {
    const response = ask(ranges);
    expect(response.status).toBe(416);
    expect(response.headers.get("content-range")).toBe("bytes */10");
    expect(ask(ranges, "/empty").status).toBe(416);
  });

  test("are at most 16 after joining; more are the whole file", () => {
    const ranges = (count: number) =>
      `bytes=${Array.from({ length: count }, (_, i) => `${i * 10}-${i * 10 + 1}`).join()}`;
    expect(partsOf(ask(ranges(16), "/large"))).toHaveLength(16);
    expect(ask(ranges(17), "/large").status).toBe(200);
    expect(partsOf(ask(`${ranges(17)},0-20`, "/large"))).toHaveLength(15);
    expect(ask(`bytes=${"0-0,".repeat(3000)}9-9`, "/large").status).toBe(206);
    expect(ask(ranges(1500), "/large").status).toBe(200);
  });

  test("of a large file are streamed, and hold no more than one range does", () => {
    const ranges = "bytes=1000000-1999999, 5-5, 3000000-";
    const expected = [large.subarray(1_000_000, 2_000_000), large.subarray(5, 6)];
    const bodies = [...expected, large.subarray(3_000_000)].map((one) => one.toString("latin1"));
    expect(partsOf(ask(ranges, "/large")).map(({ body }) => body)).toEqual(bodies);
    const slow = ask(ranges, "/large", new Client(true));
    expect(partsOf(slow).map(({ body }) => body)).toEqual(bodies);

    const heldBy = (field: string) => {
      const before = server.count("heapInUse");
      const clients = Array.from({ length: 200 }, () => server.connect(new Client(true)));
      const head = `GET /large HTTP/1.1\r\nHost: x\r\nRange: ${field}\r\n\r\n`;
      for (const client of clients) client.events.data(Buffer.from(head));
      server.settle();
      const held = server.count("heapInUse") - before;
      for (const client of clients) client.events.closed();
      server.settle();
      return held;
    };
    heldBy("bytes=0-"); // tables grow, and stay
    const one = heldBy("bytes=0-");
    expect(heldBy(ranges)).toBeLessThan(one + 200 * 1536);
    expect(server.count("threadCount")).toBe(2);
  });

  test("have a boundary that is another one each time", () => {
    const types = Array.from({ length: 10 }, () =>
      ask("bytes=0-0,9-9").headers.get("content-type"),
    );
    expect(new Set(types).size).toBe(10);
  });

  test("of any kind cover the bytes that were asked for, and no others", () => {
    const number = fc.integer({ min: 0, max: 14 });
    const one = fc.oneof(
      fc.tuple(number, number),
      fc.tuple(number, fc.constant(null)),
      fc.tuple(fc.constant(null), number),
    );
    const seed = { seed: 20_261_127, numRuns: 500 };
    const check = (ranges: (readonly [number | null, number | null])[]) => {
      const text = ranges.map(([first, last]) => `${first ?? ""}-${last ?? ""}`).join();
      const response = ask(`bytes=${text}`);
      expect(coveredBy(response), text).toEqual(wantedBy(ranges));
    };
    fc.assert(fc.property(fc.array(one, { minLength: 1, maxLength: 6 }), check), seed);
  });
});

/** Places of bytes, or the status of an answer without a part. */
type Covered = number[] | 200 | 416;

function wantedBy(ranges: readonly (readonly [number | null, number | null])[]): Covered {
  const wanted: number[] = [];
  for (const [first, last] of ranges) {
    if (first !== null && last !== null && last < first) return 200;
    const from = first ?? Math.max(0, 10 - (last ?? 0));
    const to = first === null ? 9 : Math.min(9, last ?? 9);
    for (let i = from; i <= to; i++) wanted.push(i);
  }
  if (wanted.length === 0) return 416;
  return wanted.length > 10 ? 200 : [...new Set(wanted)].sort((a, b) => a - b);
}

function coveredBy(response: ReturnType<typeof ask>): Covered {
  if (response.status === 200 || response.status === 416) return response.status;
  const isOne = response.headers.has("content-range");
  const range = response.headers.get("content-range");
  const parts = isOne ? [{ range, body: response.body }] : partsOf(response);
  const covered = parts.flatMap(({ range: place, body }) => {
    const [first, last] = /^bytes (\d+)-(\d+)\/10$/.exec(place ?? "")?.slice(1) ?? [];
    expect(body).toBe(LETTERS.slice(Number(first), Number(last) + 1));
    return [...body].map(Number);
  });
  return covered.sort((a, b) => a - b);
}
