// The host's side of the access log: a ring that a guest may fill with anything, the joining of
// records, and lines that no client can break.
import { describe, expect, test } from "vitest";
import { ACCESS_RING_BYTES, AccessKind, AccessReason, AccessRing } from "../../abi/access-log.ts";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import { withAccessLog } from "../../host/access-log.ts";
import type { GuestExports } from "../../host/image.ts";
import { GuestMemory } from "../../host/memory.ts";
import { type AccessFormat, lineBytesMax, putLine } from "../../host/service/access-line.ts";
import { LINES_BYTES, LineBuffer } from "../../host/service/line-buffer.ts";
import { RequestCounters } from "../../host/service/request-counters.ts";
import { type Entry, Requests } from "../../host/service/requests.ts";

const RING = 0x20000;

/** A guest whose ring a test fills, and what the host makes of it. */
function machine() {
  const memory = new GuestMemory(16);
  const entries: Entry[] = [];
  const lines: string[] = [];
  const counters = new RequestCounters();
  const cuts: number[] = [];
  const sink = new Requests(counters, {
    date: () => 1_700_000_000_000,
    addressOf: ({ hostPort }) => `10.0.0.${hostPort}`,
    isWanted: () => true,
    entry: (entry) => {
      entries.push({ ...entry });
      lines.push(accessLine("combined", entry, entry.address));
    },
    cut: (_, reason) => cuts.push(reason),
  });
  memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.accessLog, RING, true);
  const clock = { now: () => 5e6 };
  const guest = withAccessLog({ run: () => 0 } as unknown as GuestExports, memory, clock, sink);
  const set = (field: number, value: number) => memory.view.setUint32(RING + field, value, true);
  const at = (place: number) => RING + AccessRing.records + place;
  return { memory, entries, lines, counters, cuts, set, at, run: () => guest.run(1) };
}

function putRequest(
  { memory, at }: ReturnType<typeof machine>,
  place: number,
  target = "/",
): number {
  const text = `GET${target}`;
  const bytes = (48 + text.length + 7) & ~7;
  const { view } = memory;
  const p = at(place);
  view.setUint16(p, AccessKind.Request, true);
  view.setUint16(p + 2, bytes, true);
  view.setUint32(p + 4, 7, true);
  view.setUint32(p + 8, 80, true);
  view.setUint32(p + 12, 1, true);
  view.setBigUint64(p + 16, 1_000_000n, true);
  view.setUint16(p + 24, 200, true);
  view.setUint16(p + 26, 1, true);
  view.setUint16(p + 28, 3, true);
  view.setUint16(p + 30, target.length, true);
  memory.bytes(p + 48, text.length).set(Buffer.from(text));
  return bytes;
}

function putResponse(
  { memory, at }: ReturnType<typeof machine>,
  place: number,
  reason = 0,
): number {
  const { view } = memory;
  const p = at(place);
  view.setUint16(p, AccessKind.Response, true);
  view.setUint16(p + 2, 24, true);
  view.setUint32(p + 4, 7, true);
  view.setUint32(p + 8, 80, true);
  view.setUint32(p + 12, reason, true);
  view.setBigUint64(p + 16, 5n, true);
  return 24;
}

describe("AL2 the ring", () => {
  test("a request and the end of its response are one entry", () => {
    const m = machine();
    const first = putRequest(m, 0, "/a b");
    m.set(AccessRing.head, first + putResponse(m, first));
    m.run();
    expect(m.entries).toMatchObject([
      { address: "10.0.0.7", connection: 7, count: 1, status: 200, bodyBytes: 5, durationMs: 4 },
    ]);
    expect(m.memory.view.getUint32(RING + AccessRing.tail, true)).toBe(first + 24);
    expect(m.counters.answered).toEqual(new Map([["200 GET", 1]]));
    m.run();
    expect(m.entries).toHaveLength(1);
  });

  test("goes on at its beginning after a record that says so, and when its totals wrap", () => {
    const m = machine();
    const start = 2 ** 32 - 64;
    m.set(AccessRing.tail, start);
    const place = start % ACCESS_RING_BYTES;
    const skipped = place + putResponse(m, place);
    m.memory.view.setUint16(m.at(skipped), AccessKind.Skip, true);
    const bytes = putRequest(m, 0) + putResponse(m, 56);
    m.set(AccessRing.head, bytes);
    m.run();
    expect(m.entries).toHaveLength(1);
    expect(m.memory.view.getUint32(RING + AccessRing.tail, true)).toBe(bytes);
  });

  test("a response that was cut has the reason of the cut", () => {
    const m = machine();
    const first = putRequest(m, 0);
    const { view } = m.memory;
    view.setUint16(m.at(first), AccessKind.Cut, true);
    view.setUint16(m.at(first) + 2, 16, true);
    view.setUint32(m.at(first) + 4, 7, true);
    view.setUint32(m.at(first) + 12, AccessReason.Slow, true);
    m.set(AccessRing.head, first + 16 + putResponse(m, first + 16, AccessReason.Gone));
    m.run();
    expect(m.entries).toMatchObject([{ reason: AccessReason.Slow }]);
    expect(m.cuts).toEqual([AccessReason.Slow]);
    expect(m.counters.aborted[AccessReason.Slow]).toBe(1);
  });

  test("texts of a response that is not over stay when the guest writes over its ring", () => {
    const m = machine();
    const first = putRequest(m, 0, "/slow");
    m.set(AccessRing.head, first);
    m.run();
    expect(m.entries).toEqual([]);
    m.memory.bytes(m.at(0), first).fill(0x78);
    m.set(AccessRing.head, first + putResponse(m, first));
    m.run();
    const [entry] = m.entries as [Entry];
    expect(accessLine("combined", entry, entry.address)).toContain('"GET /slow HTTP/1.1" 200 5');
  });

  test("two requests under way in one turn keep what is theirs", () => {
    const m = machine();
    const first = putRequest(m, 0, "/one");
    const second = first + putRequest(m, first, "/two");
    m.memory.view.setUint32(m.at(first) + 4, 8, true); // of another connection
    const third = second + putResponse(m, second);
    m.set(AccessRing.head, third + putResponse(m, third));
    m.memory.view.setUint32(m.at(second) + 4, 8, true);
    m.run();
    expect(m.lines).toEqual([
      expect.stringMatching(/^10\.0\.0\.8 .*"GET \/two HTTP/),
      expect.stringMatching(/^10\.0\.0\.7 .*"GET \/one HTTP/),
    ]);
  });

  test("counts what the guest has lost", () => {
    const m = machine();
    m.set(AccessRing.lost, 3);
    m.set(AccessRing.head, putResponse(m, 0));
    m.run();
    expect(m.counters.lost).toBe(3);
    expect(m.entries).toEqual([]);
  });

  test.each<[string, (m: ReturnType<typeof machine>) => void]>([
    ["of no known kind", (m) => m.memory.view.setUint16(m.at(0), 9, true)],
    ["of no bytes", (m) => m.memory.view.setUint16(m.at(0) + 2, 0, true)],
    ["of odd bytes", (m) => m.memory.view.setUint16(m.at(0) + 2, 25, true)],
    ["beyond the head", (m) => m.memory.view.setUint16(m.at(0) + 2, 4096, true)],
    ["with texts beyond its end", (m) => m.memory.view.setUint16(m.at(0) + 30, 60000, true)],
  ])("a record %s is lost, and all after it; the host goes on", (_, spoil) => {
    const m = machine();
    const bytes = putRequest(m, 0);
    spoil(m);
    m.set(AccessRing.head, bytes);
    m.run();
    expect(m.counters.lost).toBe(1);
    const next = putRequest(m, bytes);
    m.set(AccessRing.head, bytes + next + putResponse(m, bytes + next));
    m.run();
    expect(m.entries).toHaveLength(1);
  });

  test("a ring outside of the memory is none", () => {
    const m = machine();
    m.memory.view.setUint32(TIME_PAGE_ADDRESS + TimePage.accessLog, 0xffff_fff0, true);
    expect(m.run).not.toThrow();
    expect(m.entries).toEqual([]);
  });
});

function entryOf(texts: readonly string[], more: Partial<Entry> = {}): Entry {
  const lengths = Uint16Array.from(texts, (text) => text.length);
  return {
    dateMs: Date.UTC(2026, 10, 27, 2, 0, 0, 125),
    address: "192.0.2.7",
    connection: 9,
    count: 2,
    status: 200,
    minor: 1,
    lengths,
    places: lengths.map((_, i) => texts.slice(0, i).join("").length) as unknown as Uint32Array,
    view: new DataView(Uint8Array.from(Buffer.from(texts.join(""), "latin1")).buffer),
    bodyBytes: 1234,
    durationMs: 1.5,
    firstMs: 0.25,
    reason: AccessReason.None,
    ...more,
  };
}

function accessLine(format: AccessFormat, entry: Entry, address: string): string {
  const into = new LineBuffer();
  putLine(into, format, entry, address);
  expect(into.length).toBeLessThanOrEqual(lineBytesMax(entry, address));
  return Buffer.from(into.bytes.subarray(0, into.length)).toString("utf8");
}

describe("AL1 a line", () => {
  const entry = entryOf(["GET", "/x", "http://a/", "agent", "a.example", "id.1", ""]);

  test("in combined log format", () => {
    expect(accessLine("combined", entry, "192.0.2.7")).toBe(
      '192.0.2.7 - - [27/Nov/2026:02:00:00 +0000] "GET /x HTTP/1.1" 200 1234 "http://a/" "agent"\n',
    );
  });

  test("in JSON", () => {
    expect(JSON.parse(accessLine("json", entry, "192.0.2.7"))).toEqual({
      ts: "2026-11-27T02:00:00.125Z",
      remote: "192.0.2.7",
      method: "GET",
      path: "/x",
      proto: "HTTP/1.1",
      status: 200,
      bytes: 1234,
      duration_ms: 1.5,
      ttfb_ms: 0.25,
      referer: "http://a/",
      agent: "agent",
      host: "a.example",
      request_id: "id.1",
      conn: 9,
      reused: true,
      aborted: "",
    });
  });

  test("of a request that nobody understands", () => {
    const line = accessLine("combined", entryOf(["", "", "", "", "", "", ""], { status: 400 }), "");
    expect(line).toBe('- - - [27/Nov/2026:02:00:00 +0000] "-" 400 1234 "-" "-"\n');
  });

  test("fits into an empty buffer, however long its texts are", () => {
    const long = (length: number) => "\xff".repeat(length);
    const texts = [512, 2048, 512, 512, 512, 512, 512].map(long);
    const entry = entryOf(texts, { bodyBytes: 2 ** 53 - 1, durationMs: 1e15, firstMs: 1e15 });
    const line = accessLine("json", entry, "f".repeat(39));
    expect(JSON.parse(line)).toMatchObject({ path: texts[1], bytes: 2 ** 53 - 1 });
    expect(lineBytesMax(entry, "f".repeat(39))).toBeLessThan(LINES_BYTES);
  });

  test("has only digits where the guest notes a number that none can be", () => {
    for (const bodyBytes of [2 ** 53, 2 ** 60 + 12345, 1.8446744073709552e19]) {
      const odd = { ...entry, bodyBytes, durationMs: -1e15, firstMs: 1e300, dateMs: -1e18 };
      expect(accessLine("combined", odd, "")).toMatch(/" 200 9007199254740991 "/);
      expect(JSON.parse(accessLine("json", odd, ""))).toMatchObject({ duration_ms: 0 });
    }
  });

  test.each([
    [0, "0"],
    [0.0004, "0"],
    [0.001, "0.001"],
    [0.25, "0.25"],
    [9.9996, "10"],
    [10.5, "10.5"],
    [123456.789, "123456.789"],
    [-1, "0"],
  ])("has %d ms as %s", (durationMs, text) => {
    const entry = entryOf(["GET", "/", "", "", "", "", ""], { durationMs });
    expect(accessLine("json", entry, "")).toContain(`"duration_ms":${text},`);
  });

  test("cannot be broken, whatever a client sends", () => {
    const every = String.fromCharCode(...Array.from({ length: 256 }, (_, i) => i));
    const hostile = entryOf(["GET", "/", every, every, every, every, ""]);
    const combined = accessLine("combined", hostile, "192.0.2.7");
    expect(combined).toMatch(/^[ -~]+\n$/);
    const fields = /^\S+ - - \[[^\]]+\] "[^"]*" \d+ \d+ "([^"]*)" "([^"]*)"\n$/.exec(combined);
    const back = (text = "") =>
      text.replace(/\\x([0-9A-F]{2})/g, (_, code: string) =>
        String.fromCharCode(Number.parseInt(code, 16)),
      );
    expect(back(fields?.[1])).toBe(every);
    const json = accessLine("json", hostile, "192.0.2.7");
    expect(json).toMatch(/^[ -~]+\n$/);
    expect(JSON.parse(json)).toMatchObject({ agent: every, referer: every });
  });
});
