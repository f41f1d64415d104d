// WebServer's HTTP, byte by byte, over the real appliance.
import { mkdirSync, symlinkSync, truncateSync, utimesSync, writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  Appliance,
  makeFolder,
  parseResponses,
  removeFolders,
  until,
} from "../../support/appliance.ts";

const site = makeFolder();
let server: Appliance;
const MTIME = 1_700_000_000; // Tue, 14 Nov 2023 22:13:20 GMT

function put(name: string, content: string | Uint8Array): void {
  writeFileSync(`${site}/${name}`, content);
  utimesSync(`${site}/${name}`, MTIME, MTIME);
}

const big = Buffer.from(Uint8Array.from({ length: 400_000 }, (_, i) => (i * 31 + (i >> 9)) & 255));

beforeAll(async () => {
  mkdirSync(`${site}/sub/deeper`, { recursive: true });
  put("index.html", "<h1>home</h1>");
  put("sub/index.html", "<h1>sub</h1>");
  mkdirSync(`${site}/odd/index.html`, { recursive: true });
  put("text.txt", "0123456789");
  put("empty.txt", "");
  put("nul.txt", "a\0b\0c");
  put("noextension", "bytes");
  put("UPPER.HTML", "<p>upper</p>");
  put("with space & ü.txt", "escaped");
  put("big.bin", big);
  put("exactly-4096", Buffer.alloc(4096, 0x61));
  put("exactly-4097", Buffer.alloc(4097, 0x62));
  put("long-name-".padEnd(250, "x"), "long");
  symlinkSync("text.txt", `${site}/link.txt`);
  symlinkSync("/etc/hostname", `${site}/outside.txt`);
  server = await Appliance.serve(site, "--", "head=1500", "idle=3000");
});
afterAll(async () => {
  await server.stop();
  removeFolders();
});

const head = (lines: string) => `${lines}\r\nHost: x\r\nConnection: close\r\n\r\n`;
async function get(target: string, headers = "") {
  const text = await server.raw(head(`GET ${target} HTTP/1.1${headers && `\r\n${headers}`}`));
  return parseResponses(text)[0]!;
}
async function statusOf(request: string) {
  const responses = parseResponses(await server.raw(request));
  expect(responses).toHaveLength(1);
  return responses[0]!.status;
}

describe("files", () => {
  test("a file comes with length, type, validators and date (Toro faults 48, 52)", async () => {
    const response = await get("/text.txt");
    expect(response).toMatchObject({ status: 200, reason: "OK", body: "0123456789" });
    const { headers } = response;
    expect(headers.get("content-length")).toBe("10");
    expect(headers.get("content-type")).toBe("text/plain; charset=utf-8");
    expect(headers.get("last-modified")).toBe("Tue, 14 Nov 2023 22:13:20 GMT");
    expect(headers.get("etag")).toMatch(/^"[0-9a-f]+-a"$/);
    expect(headers.get("accept-ranges")).toBe("bytes");
    expect(Math.abs(Date.parse(headers.get("date")!) - Date.now())).toBeLessThan(60_000);
  });

  test("/ and directories give their index, without the slash a redirect (Toro fault 49)", async () => {
    expect((await get("/")).body).toBe("<h1>home</h1>");
    expect((await get("/sub/")).body).toBe("<h1>sub</h1>");
    const moved = await get("/sub?x=1");
    expect(moved.status).toBe(301);
    expect(moved.headers.get("location")).toBe("/sub/?x=1");
    expect((await get("/sub/deeper/")).status).toBe(404);
    expect((await get("//sub")).headers.get("location")).toBe("/sub/");
  });

  test("an index that is a directory itself is refused, not redirected to for ever", async () => {
    expect((await get("/odd")).headers.get("location")).toBe("/odd/");
    expect((await get("/odd/")).status).toBe(403);
  });

  test.each([
    ["/UPPER.HTML", "text/html; charset=utf-8"],
    ["/noextension", "application/octet-stream"],
    ["/nul.txt", "text/plain; charset=utf-8"],
  ])("%s has the type %s", async (path, type) => {
    const response = await get(path);
    expect(response.status).toBe(200);
    expect(response.headers.get("content-type")).toBe(type);
  });

  test("NUL bytes, empty files and sizes around every limit arrive whole (Toro fault 53)", async () => {
    expect((await get("/nul.txt")).body).toBe("a\0b\0c");
    expect(await get("/empty.txt")).toMatchObject({ status: 200, body: "" });
    expect((await get("/exactly-4096")).body).toBe("a".repeat(4096));
    expect((await get("/exactly-4097")).body).toBe("b".repeat(4097));
    expect(Buffer.from((await get("/big.bin")).body, "latin1").equals(big)).toBe(true);
  });

  test("escapes and queries", async () => {
    expect((await get("/with%20space%20%26%20%c3%bc.txt")).body).toBe("escaped");
    expect((await get("/text.txt?query=/../x")).body).toBe("0123456789");
    expect((await get("/%74%65xt.txt")).body).toBe("0123456789");
    expect((await get("http://elsewhere/text.txt")).body).toBe("0123456789");
    expect((await get("http://elsewhere")).body).toBe("<h1>home</h1>");
    expect((await get("HTTPS://elsewhere:4?/text.txt")).body).toBe("<h1>home</h1>");
  });

  test("long names: 250 bytes are served, 300 and 8000 are not found, beyond 8192 is 414 (Toro faults 30, 51)", async () => {
    expect((await get(`/${"long-name-".padEnd(250, "x")}`)).body).toBe("long");
    expect((await get(`/${"y".repeat(300)}`)).status).toBe(404);
    expect((await get(`/${"y".repeat(3000)}`)).status).toBe(404);
    expect((await get(`/${"y/".repeat(1500)}`)).status).toBe(404);
    expect((await get(`/${"y".repeat(8000)}`)).status).toBe(404);
    expect((await get(`/${"y".repeat(8192)}`)).status).toBe(414);
  });

  test("a missing file is a 404 with a body and a whole head", async () => {
    const response = await get("/missing.html");
    expect(response).toMatchObject({ status: 404, reason: "Not Found", body: "404 Not Found\n" });
  });

  test(".. is refused in every spelling (Toro fault 50)", async () => {
    const spellings = ["/..", "/../etc/passwd", "/sub/../text.txt", "/%2e%2e/x", "/.%2E/x"];
    for (const target of spellings) expect((await get(target)).status, target).toBe(400);
    expect((await get("/sub%2f..%2fx")).status).toBe(404); // no name has a slash
    expect((await get("/..text")).status).toBe(404);
    expect((await get("/sub/./index.html")).status).toBe(200);
    expect((await get("/sub//index.html")).status).toBe(200);
  });

  test("a link inside the directory is followed, one to the outside never", async () => {
    expect((await get("/link.txt")).body).toBe("0123456789");
    expect((await get("/outside.txt")).status).toBe(404);
  });

  test("a file that changes on the host is seen within the attribute time-out (Toro fault 31)", async () => {
    writeFileSync(`${site}/news.txt`, "old");
    expect((await get("/news.txt")).body).toBe("old");
    writeFileSync(`${site}/news.txt`, "newer");
    await until(async () => (await get("/news.txt")).body === "newer");
    truncateSync(`${site}/news.txt`, 0);
    await until(async () => (await get("/news.txt")).body === "");
  });
});

describe("methods and versions", () => {
  test("HEAD has the head of GET and no body", async () => {
    const text = await server.raw(head("HEAD /text.txt HTTP/1.1"));
    const [response] = parseResponses(text, [0]);
    expect(response!.headers.get("content-length")).toBe("10");
    expect(text.endsWith("\r\n\r\n")).toBe(true);
    const missing = await server.raw(head("HEAD /missing HTTP/1.1"));
    expect(parseResponses(missing, [0])[0]!.status).toBe(404);
  });

  test("HF10: registered methods get 405 and what is allowed, unknown ones 501", async () => {
    for (const method of ["POST", "PUT", "DELETE", "TRACE", "PATCH", "ACL", "VERSION-CONTROL"]) {
      const text = await server.raw(head(`${method} /text.txt HTTP/1.1`));
      const [response] = parseResponses(text);
      expect(response!.status, method).toBe(405);
      expect(response!.headers.get("allow")).toBe("GET, HEAD, OPTIONS");
    }
    const options = await server.raw(head("OPTIONS /missing HTTP/1.1"));
    expect(options).toMatch(/^HTTP\/1.1 204 No Content\r\n(?!.*Content-Length).*\r\n\r\n$/s);
    expect(options).toContain("\r\nAllow: GET, HEAD, OPTIONS\r\n");
    expect(await statusOf(head("POS /pot HTTP/1.1"))).toBe(501);
    expect(await statusOf(head("BREW /pot HTTP/1.1"))).toBe(501);
    expect(await statusOf(head("get / HTTP/1.1"))).toBe(501);
  });

  test("HTTP/2.0 gets 505, HTTP/1.0 is served and closed", async () => {
    expect(await statusOf(head("GET / HTTP/2.0"))).toBe(505);
    const text = await server.raw("GET /text.txt HTTP/1.0\r\n\r\n");
    const [response] = parseResponses(text);
    expect(response).toMatchObject({ status: 200, body: "0123456789" });
    expect(response!.headers.get("connection")).toBe("close");
  });

  test.each([
    ["no version", "GET /\r\n\r\n"],
    ["two spaces", "GET  / HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["no Host in HTTP/1.1", "GET / HTTP/1.1\r\n\r\n"],
    ["two Hosts", "GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n"],
    ["a space before the colon", "GET / HTTP/1.1\r\nHost : x\r\n\r\n"],
    ["a folded header", "GET / HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n"],
    ["a header without a colon", "GET / HTTP/1.1\r\nHost: x\r\nnonsense\r\n\r\n"],
    ["a NUL in a header", "GET / HTTP/1.1\r\nHost: x\r\nA: b\0c\r\n\r\n"],
    ["a broken escape", "GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an escape whose second digit is none", "GET /%0z HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an escape that is cut off", "GET /%2 HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["an escaped NUL", "GET /a%00b HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a target that is not a path", "GET text.txt HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["bytes beyond ASCII in the target", "GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n"],
    ["a length that is not a number", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +1\r\n\r\n"],
    ["TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],
    ["HTTP in lower case", "GET / http/1.1\r\nHost: x\r\n\r\n"],
  ])("400 for %s, and the connection ends", async (_, request) => {
    expect(await statusOf(request)).toBe(400);
  });

  test("a head of more than 16 KiB gets 431", async () => {
    const headers = Array.from({ length: 180 }, (_, i) => `X-Padding-${i}: ${"y".repeat(90)}`);
    expect(await statusOf(`GET / HTTP/1.1\r\nHost: x\r\n${headers.join("\r\n")}\r\n\r\n`)).toBe(
      431,
    );
  });
});

describe("connections", () => {
  test("keep-alive and pipelining: many requests in one write, answered in order", async () => {
    const paths = ["/text.txt", "/missing", "/exactly-4097", "/", "/big.bin", "/empty.txt"];
    const requests = paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    const text = await server.raw(requests.join("") + head("GET /nul.txt HTTP/1.1"));
    const responses = parseResponses(text);
    expect(responses.map((one) => one.status)).toEqual([200, 404, 200, 200, 200, 200, 200]);
    expect(responses.map((one) => one.body.length)).toEqual([10, 14, 4097, 13, 400_000, 0, 5]);
    expect(responses.map((one) => one.headers.get("connection"))).toEqual([
      ...paths.map(() => "keep-alive"),
      "close",
    ]);
  });

  test("HTTP/1.0 keeps the connection alive when asked to", async () => {
    const request = "GET /text.txt HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n";
    const text = await server.raw(`${request}${request}GET / HTTP/1.0\r\n\r\n`);
    expect(parseResponses(text).map((one) => one.status)).toEqual([200, 200, 200]);
  });

  test("a request in pieces of one byte is served", async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = net.connect(server.port, "127.0.0.1");
      socket.setNoDelay(true);
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk.toString("latin1");
      });
      socket.on("end", () => resolve(answer));
      socket.on("error", reject);
      const bytes = head("GET /text.txt HTTP/1.1").split("");
      const next = () => {
        const byte = bytes.shift();
        if (byte !== undefined) socket.write(byte, () => setImmediate(next));
      };
      next();
    });
    expect(parseResponses(text)[0]).toMatchObject({ status: 200, body: "0123456789" });
  });

  test("close wins over keep-alive, in one Connection header or in several", async () => {
    for (const connection of [
      "close, keep-alive",
      "x;y, close",
      "close\r\nConnection: keep-alive",
    ]) {
      const request = `GET / HTTP/1.1\r\nHost: x\r\nConnection: ${connection}\r\n\r\n`;
      const [response, ...more] = parseResponses(await server.raw(request + request));
      expect(response!.headers.get("connection"), connection).toBe("close");
      expect(more).toEqual([]);
    }
  });

  test("HF6: a client that sends on after the answer is not reset before it reads", async () => {
    const socket = net.connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
    const write = (bytes: string) =>
      new Promise<void>((resolve, reject) => {
        socket.write(bytes, (error) => (error ? reject(error) : resolve()));
      });
    const answered = new Promise((resolve) => socket.once("readable", resolve));
    const ended = new Promise((resolve) => socket.once("end", resolve));
    await write("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 200000\r\n\r\n");
    await answered;
    for (let i = 0; i < 20; i++) await write("b".repeat(10_000));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.end();
    await ended;
    expect(parseResponses(Buffer.concat(chunks).toString("latin1"))[0]!.status).toBe(405);
  });

  test("a half-closed client still gets its answer", async () => {
    const text = await new Promise<string>((resolve, reject) => {
      const socket = net.connect({ port: server.port, host: "127.0.0.1", allowHalfOpen: true });
      let answer = "";
      socket.on("data", (chunk) => {
        answer += chunk.toString("latin1");
      });
      socket.on("end", () => {
        socket.end();
        resolve(answer);
      });
      socket.on("error", reject);
      socket.end("GET /big.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    });
    expect(parseResponses(text)[0]!.body).toHaveLength(400_000);
  });

  test("a head that does not end in time gets 408, silence is closed without a word", async () => {
    expect(await statusOf("GET / HTTP/1.1\r\nHost: x\r\n")).toBe(408);
    expect(await server.raw("")).toBe("");
  });
});

describe("conditions and ranges", () => {
  test("ET1: other content of the same size and date has the same tag, and is served", async () => {
    put("built.txt", "one");
    const etag = (await get("/built.txt")).headers.get("etag")!;
    expect(etag).toBe(`"${MTIME.toString(16)}-3"`);
    put("built.txt", "two");
    await until(async () => (await get("/built.txt")).body === "two");
    expect((await get("/built.txt", `If-None-Match: ${etag}`)).status).toBe(304);
  });

  test("If-None-Match and If-Modified-Since give 304 without a body", async () => {
    const { headers } = await get("/text.txt");
    const etag = headers.get("etag")!;
    for (const condition of [
      `If-None-Match: ${etag}`,
      `If-None-Match: "other", W/${etag}`,
      "If-None-Match: *",
      `If-Modified-Since: ${headers.get("last-modified")}`,
      "If-Modified-Since: Wed, 15 Nov 2023 00:00:00 GMT",
    ]) {
      const response = await get("/text.txt", condition);
      expect(response.status, condition).toBe(304);
      expect(response.headers.get("etag")).toBe(etag);
      expect(response.body).toBe("");
    }
    for (const condition of [
      'If-None-Match: "other"',
      "If-Modified-Since: Tue, 14 Nov 2023 22:13:19 GMT",
      "If-Modified-Since: yesterday",
      `If-None-Match: "other"\r\nIf-Modified-Since: ${headers.get("last-modified")}`,
    ]) {
      expect((await get("/text.txt", condition)).status, condition).toBe(200);
    }
  });

  test.each([
    ["bytes=2-4", "234", "bytes 2-4/10"],
    ["bytes=7-", "789", "bytes 7-9/10"],
    ["bytes=-2", "89", "bytes 8-9/10"],
    ["bytes=-100", "0123456789", "bytes 0-9/10"],
    ["bytes=0-0", "0", "bytes 0-0/10"],
    ["bytes=5-1000000000000000000000", "56789", "bytes 5-9/10"],
  ])("Range: %s is 206 with %s", async (range, body, contentRange) => {
    const response = await get("/text.txt", `Range: ${range}`);
    expect(response).toMatchObject({ status: 206, body });
    expect(response.headers.get("content-range")).toBe(contentRange);
  });

  test("ranges of a streamed file", async () => {
    const response = await get("/big.bin", "Range: bytes=300000-399999");
    expect(response.status).toBe(206);
    expect(Buffer.from(response.body, "latin1").equals(big.subarray(300_000))).toBe(true);
  });

  test("ranges that cannot be satisfied are 416, and nonsense is the whole file", async () => {
    for (const range of ["bytes=10-", "bytes=-0", "bytes=99-100"]) {
      const response = await get("/text.txt", `Range: ${range}`);
      expect(response.status, range).toBe(416);
      expect(response.headers.get("content-range")).toBe("bytes */10");
    }
    for (const range of ["bytes=4-2", "bytes=a-b", "lines=1-2", "bytes=-", "bytes="]) {
      expect((await get("/text.txt", `Range: ${range}`)).status, range).toBe(200);
    }
  });

  test("If-Range allows a part only of the same file", async () => {
    const { headers } = await get("/text.txt");
    const part = `Range: bytes=0-1\r\nIf-Range: `;
    expect((await get("/text.txt", part + headers.get("etag"))).status).toBe(206);
    expect((await get("/text.txt", part + headers.get("last-modified"))).status).toBe(206);
    expect((await get("/text.txt", `${part}"other"`)).status).toBe(200);
    expect((await get("/text.txt", `${part}W/${headers.get("etag")}`)).status).toBe(200);
  });
});
