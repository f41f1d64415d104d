// WebServer and incomplete requests: it refuses what can be none at its
// first wrong byte, and waits for the rest of what may be one.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { Files } from "../../../host/ports/files.ts";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, type Options, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

async function serveSite(options: Options = {}) {
  const site = makeFolder();
  writeFileSync(`${site}/index.html`, "home");
  const server = await serve(site, options);
  /** The status of what is answered at once; undefined: nothing is. */
  const say = (bytes: string | Uint8Array) => {
    const client = server.connect(new Client());
    client.events.data(Buffer.from(bytes as string, "latin1"));
    server.settle();
    const [response] = client.received === "" ? [] : parseResponses(client.received);
    return [response?.status, response?.headers.get("connection")];
  };
  return { ...server, site, say };
}

describe("bytes that can begin no request are refused without a line feed", () => {
  test.each([
    ["a TLS hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"],
    ["the first byte of one", "\x16"],
    ["an SSLv2 hello", "\x80\x2e\x01\x00\x02"],
    ["SOCKS 5", "\x05\x01\x00"],
    ["SOCKS 4", "\x04\x01\x00\x50"],
    ["RDP", "\x03\x00\x00\x13\x0e\xe0"],
    ["a space first", " GET / HTTP/1.1"],
    ["a quote", '"GET'],
    ["an escape in the target", "GET /\x1b[31m"],
    ["a byte beyond ASCII in the target", "GET /\xfc"],
    ["a NUL after the version", "GET / HTTP/1.1\0"],
    ["a CR that is not the line's", "\rGET /"],
    ["two empty lines", "\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a tab after the method", "GET\t/"],
  ])("%s", async (_, bytes) => {
    const { say, machine } = await serveSite();
    expect(say(bytes)).toEqual([400, "close"]);
    machine.dispose();
  });

  test("a method that is longer than any is 501, whatever follows", async () => {
    const { say, machine } = await serveSite();
    expect(say("A".repeat(33))).toEqual([501, "close"]);
    expect(say("A".repeat(32))).toEqual([undefined, undefined]);
    machine.dispose();
  });

  test.each([
    ["nothing but an empty line", "\r\n"],
    ["half an empty line", "\r"],
    ["a method", "GET"],
    ["a target", "GET /index.html?query=a"],
    ["all but the line feed", "GET / HTTP/1.1\r"],
    ["a method that is none, so far", "~unknown!"],
    ["8190 bytes of a request line", `GET /${"q".repeat(8185)}`],
    ["an empty line and a method", "\r\nGET"],
  ])("%s may still become one", async (_, bytes) => {
    const { say, machine } = await serveSite();
    expect(say(bytes)).toEqual([undefined, undefined]);
    machine.dispose();
  });
});

describe("lengths", () => {
  const line = (bytes: number) => `GET /?${"q".repeat(bytes - "GET /? HTTP/1.1".length)} HTTP/1.1`;

  test.each([
    [8000, 200],
    [8191, 200],
    [8193, 414],
    [16_000, 414],
  ])("a request line of %d bytes is %d", async (bytes, status) => {
    const { say, machine } = await serveSite();
    expect(say(`${line(bytes)}\nHost: x\n\n`)[0]).toBe(status);
    machine.dispose();
  });

  test("a request line without an end is 414 as soon as it is too long", async () => {
    const { say, machine } = await serveSite();
    expect(say(`GET /${"q".repeat(8192)}`)).toEqual([414, "close"]);
    machine.dispose();
  });

  test.each([
    [16_384, 200],
    [16_385, 431],
    [40_000, 431],
  ])("a head of %d bytes is %d", async (bytes, status) => {
    const { say, machine } = await serveSite();
    const begin = "GET / HTTP/1.1\r\nHost: x\r\nX: ";
    expect(say(`${begin}${"y".repeat(bytes - begin.length - 4)}\r\n\r\n`)[0]).toBe(status);
    machine.dispose();
  });

  test("a redirect of the longest request line has all of it", async () => {
    const { connect, site, settle, machine } = await serveSite();
    mkdirSync(`${site}/sub`);
    const client = connect(new Client());
    const query = "q".repeat(8192 - "GET /sub? HTTP/1.1\r".length);
    client.events.data(Buffer.from(`GET /sub?${query} HTTP/1.1\r\nHost: x\r\n\r\n`));
    settle();
    expect(parseResponses(client.received)[0]?.headers.get("location")).toBe(`/sub/?${query}`);
    machine.dispose();
  });
});

/** Files that can be seen and not opened, as those of others are. */
function unreadable(): Files {
  const files = hostFiles();
  const refuse = () => {
    throw Object.assign(new Error("permission denied"), { code: "EACCES" });
  };
  return Object.assign(files, { open: refuse, openAt: refuse, access: refuse });
}

describe("a file that may not be read tells nothing of itself", () => {
  test.each([
    ["GET", ""],
    ["HEAD", ""],
    ["GET", "If-None-Match: *\r\n"],
    ["GET", "If-Modified-Since: Fri, 01 Jan 2038 00:00:00 GMT\r\n"],
    ["HEAD", "If-None-Match: *\r\n"],
    ["GET", "Range: bytes=100-\r\n"],
    ["GET", "Range: bytes=0-1\r\n"],
    ["GET", 'Range: bytes=100-\r\nIf-Range: "x"\r\n'],
  ])("%s %j is 403", async (method, headers) => {
    for (const bytes of [10, 5_000_000]) {
      const { connect, site, settle, machine } = await serveSite({ files: unreadable() });
      writeFileSync(`${site}/secret`, "s".repeat(bytes));
      const client = connect(new Client());
      client.events.data(Buffer.from(`${method} /secret HTTP/1.1\r\nHost: x\r\n${headers}\r\n`));
      settle();
      const [response] = parseResponses(client.received, method === "HEAD" ? [0] : []);
      expect(response?.status).toBe(403);
      for (const name of ["etag", "last-modified", "content-range"]) {
        expect(response?.headers.has(name), name).toBe(false);
      }
      machine.dispose();
    }
  });
});
