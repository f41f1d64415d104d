// Tags of WebServer that are made from what a file holds.
import { createHash } from "node:crypto";
import { utimesSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, type Options, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const digestOf = (bytes: Uint8Array | string) =>
  `"${createHash("sha256").update(bytes).digest("hex").slice(0, 32)}"`;
const content = (bytes: number, seed = 1) =>
  Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * seed + (i >> 8) * 31) & 255));

async function serveFile(bytes: Uint8Array | string, mtime: number, options: Options = {}) {
  const site = makeFolder();
  const put = (other: Uint8Array | string, at = mtime, name = "file") => {
    writeFileSync(`${site}/${name}`, other);
    utimesSync(`${site}/${name}`, new Date(at * 1000), new Date(at * 1000));
  };
  put(bytes);
  const realtimeNs = BigInt(Date.now() + 3_600_000) * 1_000_000n;
  const server = await serve(site, { realtimeNs, ...options });
  const get = (fields = "", path = "/file", client = new Client()) => {
    server.connect(client);
    client.events.data(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n${fields}\r\n`));
    server.settle();
    const [response] = parseResponses(client.received);
    client.events.closed();
    return response!;
  };
  return { ...server, get, put };
}

const BY_CONTENT: Options = { settings: { etag: "content" } };
const MTIME = 1_700_000_000;

describe("ET3: with etag set to content the tag is 128 bits of SHA-256", () => {
  test.each([0, 1, 3, 55, 56, 63, 64, 65, 119, 120, 1000, 65_535, 65_536, 200_000])(
    "of %d bytes",
    async (bytes) => {
      const { get, machine } = await serveFile(content(bytes), MTIME, BY_CONTENT);
      const tag = digestOf(content(bytes));
      expect(get().headers.get("etag")).toBe(tag);
      expect(get(`If-None-Match: ${tag}\r\n`).status).toBe(304);
      expect(get(`If-Match: ${tag}\r\nIf-Range: ${tag}\r\nRange: bytes=0-0\r\n`).status).toBe(
        bytes === 0 ? 416 : 206,
      );
      machine.dispose();
    },
  );

  test.each([
    ["in the window", { ...BY_CONTENT, windowBytes: 4 * MIB }],
    ["read in pieces", BY_CONTENT],
  ])("of a large file %s", async (_, options) => {
    const { get, machine } = await serveFile(content(3 * MIB), MTIME, options);
    expect(get().headers.get("etag")).toBe(digestOf(content(3 * MIB)));
    machine.dispose();
  });

  test("is strong at once, and another one for other content of the same size and date", async () => {
    const now = Date.now() / 1000 + 3600;
    const { get, put, machine, clock } = await serveFile("one", now, BY_CONTENT);
    expect(get().headers.get("etag")).toBe(digestOf("one"));
    put("two");
    clock.advance(1000);
    const { headers, body } = get(`If-None-Match: ${digestOf("one")}\r\n`);
    expect([body, headers.get("etag")]).toEqual(["two", digestOf("two")]);
    machine.dispose();
  });

  test("is computed once for a generation, also of a file that is not cached", async () => {
    let reads = 0;
    const onRequest = (name: string) => {
      if (name === "READ") reads++;
    };
    const bytes = content(2 * MIB);
    const { get, put, machine } = await serveFile(bytes, MTIME, { ...BY_CONTENT, onRequest });
    put(bytes, MTIME, "other");
    const readsOf = (fields: string, path = "/file") => {
      reads = 0;
      get(fields, path);
      return reads;
    };
    const none = "If-None-Match: *\r\n";
    expect(readsOf(none)).toBeGreaterThan(0);
    expect(readsOf(none)).toBe(0);
    expect(readsOf(none, "/other")).toBeGreaterThan(0);
    expect(readsOf(none)).toBe(0);
    machine.dispose();
  });

  test("of more than 8 MiB comes later: until then the date is the tag, and others are served", async () => {
    const bytes = content(9 * MIB);
    const { get, put, machine, clock, settle } = await serveFile(bytes, MTIME, BY_CONTENT);
    put("small", MTIME, "small");
    expect(get("If-None-Match: *\r\n").headers.get("etag")).toBe(
      `"${MTIME.toString(16)}-${(9 * MIB).toString(16)}"`,
    );
    expect(get("", "/small").headers.get("etag")).toBe(digestOf("small"));
    for (let i = 0; i < 200; i++) {
      clock.advance(2);
      settle();
    }
    expect(get("If-None-Match: *\r\n").headers.get("etag")).toBe(digestOf(bytes));
    machine.dispose();
  });

  test("two requests at once for a file that is being read get the same tag", async () => {
    const { connect, settle, machine } = await serveFile(content(4 * MIB), MTIME, BY_CONTENT);
    const clients = Array.from({ length: 5 }, () => connect(new Client()));
    const head = "GET /file HTTP/1.1\r\nHost: x\r\nIf-None-Match: *\r\n\r\n";
    for (const client of clients) client.events.data(Buffer.from(head));
    settle();
    for (const { received } of clients) {
      expect(parseResponses(received)[0]?.headers.get("etag")).toBe(digestOf(content(4 * MIB)));
    }
    machine.dispose();
  });
});

describe("ET2: a file dated 0 or 1 has the digest as its tag, and no date", () => {
  test.each([0, 1, 1.5])("%d", async (mtime) => {
    const { get, machine } = await serveFile("content", mtime);
    const { headers } = get();
    expect(headers.get("etag")).toBe(digestOf("content"));
    expect(headers.has("last-modified")).toBe(false);
    expect(get(`If-None-Match: ${digestOf("content")}\r\n`).headers.has("last-modified")).toBe(
      false,
    );
    for (const field of ["If-Modified-Since", "If-Unmodified-Since"]) {
      const date = new Date(field === "If-Modified-Since" ? Date.now() : 0).toUTCString();
      expect(get(`${field}: ${date}\r\n`).status, field).toBe(200);
    }
    const date = new Date(Math.floor(mtime) * 1000).toUTCString();
    expect(get(`Range: bytes=0-0\r\nIf-Range: ${date}\r\n`).status).toBe(200);
    machine.dispose();
  });

  test("2 s are a date like any other, and so is a time before 1970", async () => {
    for (const mtime of [2, -1]) {
      const { get, machine } = await serveFile("content", mtime);
      const { headers } = get();
      expect(headers.get("last-modified")).toBe(new Date(mtime * 1000).toUTCString());
      expect(headers.get("etag")).toMatch(/^"[0-9a-f]+-7"$/);
      machine.dispose();
    }
  });
});
