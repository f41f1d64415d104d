// HF8: the host of a request, by its grammar (RFC 3986, 3.2.2).
import { writeFileSync } from "node:fs";
import { afterAll, beforeAll, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

let server: Awaited<ReturnType<typeof serve>>;
beforeAll(async () => {
  const site = makeFolder();
  writeFileSync(`${site}/a`, "a");
  server = await serve(site);
});
afterAll(() => {
  server.machine.dispose();
  removeFolders();
});

function statusOf(request: string): number {
  const client = server.connect(new Client());
  client.events.data(Buffer.from(request, "latin1"));
  server.settle();
  client.events.closed();
  return Number(client.received.slice(9, 12));
}
const asHost = (host: string) => statusOf(`GET /a HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
const asTarget = (host: string) => statusOf(`GET http://${host}/a HTTP/1.1\r\nHost: x\r\n\r\n`);

const GOOD = [
  "a",
  "a.example:80",
  "A.EXAMPLE.",
  "a:",
  "1.2.3.4",
  "999.1.1.1", // a name
  "a_b~c!$&'()*+,;=d",
  "%41%e9",
  "[::]",
  "[::1]:8080",
  "[1::]",
  "[1:2:3:4:5:6:7:8]",
  "[1:2:3:4:5:6:1.2.3.4]",
  "[::ffff:255.0.10.1]",
  "[1::3:4:5:6:7:8]",
  "[FE80::abcd]",
  "[v1.a:b]",
];

const BAD = [
  "a b",
  "a/b",
  "a@b",
  "a:80:80",
  "a:8x",
  "a:-1",
  "::1",
  "%",
  "%4",
  "%4g",
  "a\x80",
  "a,\tb",
  "[::1",
  "[]",
  "[:]",
  "[:::]",
  "[1::2::3]",
  "[1:2:3:4:5:6:7]",
  "[1:2:3:4:5:6:7:8:9]",
  "[1::2:3:4:5:6:7:8]",
  "[12345::]",
  "[g::]",
  "[1:2:3:4:5:6:7:]",
  "[:1:2:3:4:5:6:7]",
  "[::1.2.3]",
  "[::1.2.3.4.5]",
  "[::1.2.3.256]",
  "[::01.2.3.4]",
  "[1.2.3.4::]",
  "[::1]x",
  "[::1%25eth0]",
  "[v.a]",
  "[v1.]",
  "[v1a]",
];

test.each(GOOD)("HF8: %s is a host", (host) => {
  expect([asHost(host), asTarget(host)]).toEqual([200, 200]);
});

test.each(BAD)("HF8: %s is none", (host) => {
  expect([asHost(host), asTarget(host)]).not.toContain(200);
  expect(asHost(host)).toBe(400);
});

test("HF8: nothing is a host of a request, and of no target", () => {
  for (const nothing of ["", ":80"]) {
    expect([asHost(nothing), asTarget(nothing)], nothing).toEqual([200, 400]);
  }
});

test("HF8: the target's host replaces the other, which must be right all the same", () => {
  expect(statusOf("GET http://a/a HTTP/1.1\r\nHost: b c\r\n\r\n")).toBe(400);
  expect(statusOf("GET http://a/a HTTP/1.1\r\n\r\n")).toBe(400);
  expect(statusOf("GET http://a/a HTTP/1.0\r\n\r\n")).toBe(200);
  expect(statusOf("GET HTTPS://a?b=/c HTTP/1.1\r\nHost: b\r\n\r\n")).toBe(404); // its path is /
});
