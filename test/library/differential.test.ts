// serve() beside node:http on the same bytes: what Node's parser (llhttp) refuses, serve() refuses.
import { createServer, type Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import type { Duplex } from "node:stream";
import { afterAll, beforeAll, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { compileOnce } from "../support/compiled.ts";

let node: Server;
let machine: Machine;
const vsock = new VsockDevice();
beforeAll(async () => {
  node = createServer((request, response) => {
    const parts: Buffer[] = [];
    request.on("data", (part) => parts.push(part));
    request.on("end", () => response.end(Buffer.concat(parts)));
  });
  await new Promise<void>((ready) => node.listen(0, "127.0.0.1", ready));
  const { wasm, map } = await compileOnce("test/guest/api.ts", "debug", { kind: "application" });
  const image = new WebAssembly.Module(wasm);
  machine = await Machine.create({ image, sourceMap: map, devices: [vsock] });
  machine.boot();
});
afterAll(() => {
  node.close();
  machine.dispose();
});

/** The status of the first answer; 0: the connection ended without one. */
function statusOf(socket: Duplex, bytes: string) {
  return new Promise<number>((resolve) => {
    let text = "";
    const done = () => resolve(Number(/^HTTP\/1\.1 (\d+)/.exec(text)?.[1] ?? 0));
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString("latin1");
    });
    socket.on("error", done);
    socket.on("close", done);
    socket.on("end", () => socket.end());
    socket.end(Buffer.from(bytes, "latin1"));
  });
}

const byNode = (bytes: string) =>
  statusOf(connect((node.address() as AddressInfo).port, "127.0.0.1"), bytes);
const byGuest = (bytes: string) => statusOf(vsock.createConnection(80), bytes);

const HOST = "Host: x\r\n";
const post = (headers: string, body = "") => `POST /echo HTTP/1.1\r\n${HOST}${headers}\r\n${body}`;
const chunks = (body: string) => post("Transfer-Encoding: chunked\r\n", body);
const get = (headers: string) => `GET / HTTP/1.1\r\n${HOST}${headers}\r\n`;

const requests = [
  get(""),
  "GET / HTTP/1.1\r\n\r\n",
  `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`,
  "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET /a b HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
  "GET / HTTP/1.11\r\nHost: x\r\n\r\n",
  "GET / HTTP/1\r\nHost: x\r\n\r\n",
  "GET / http/1.1\r\nHost: x\r\n\r\n",
  "G@T / HTTP/1.1\r\nHost: x\r\n\r\n",
  "\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
  " GET / HTTP/1.1\r\nHost: x\r\n\r\n",
  get("A : b\r\n"),
  get(" A: b\r\n"),
  get("A: b\r\n c\r\n"),
  get(": b\r\n"),
  get("A\r\n"),
  get("A: \0\r\n"),
  get("A: \x01\r\n"),
  get("A: b\rc\r\n"),
  get("A: \xe9\r\n"),
  get("A: b\n"),
  get("A(: b\r\n"),
  post("Content-Length: 3\r\n", "abc"),
  post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc"),
  post("Content-Length: 3\r\nContent-Length: 4\r\n", "abcd"),
  post("Content-Length: 3, 3\r\n", "abc"),
  post("Content-Length: -1\r\n", "abc"),
  post("Content-Length: +3\r\n", "abc"),
  post("Content-Length: 3a\r\n", "abc"),
  post("Content-Length: \r\n", "abc"),
  post("Content-Length: 99999999999999999999999\r\n", "abc"),
  post("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
  post("Transfer-Encoding: gzip\r\n", "0\r\n\r\n"),
  post("Transfer-Encoding: chunked, gzip\r\n", "0\r\n\r\n"),
  post("Transfer-Encoding: chunked, chunked\r\n", "0\r\n\r\n"),
  post("Transfer-Encoding: xchunked\r\n", "0\r\n\r\n"),
  post("Transfer-Encoding : chunked\r\n", "0\r\n\r\n"),
  chunks("3\r\nabc\r\n0\r\n\r\n"),
  chunks("3;a=b\r\nabc\r\n0\r\n\r\n"),
  chunks("3 \r\nabc\r\n0\r\n\r\n"),
  chunks("x\r\nabc\r\n0\r\n\r\n"),
  chunks("-3\r\nabc\r\n0\r\n\r\n"),
  chunks("3\nabc\r\n0\r\n\r\n"),
  chunks("3\r\nabcd\r\n0\r\n\r\n"),
  chunks("3\r\nabc0\r\n\r\n"),
  chunks("fffffffffffffffff\r\nabc\r\n0\r\n\r\n"),
  chunks("3\r\nabc\r\n0\r\nA: b\r\n\r\n"),
];

/** A bare LF may end a line (RFC 9112, 2.2), and equal lengths are one (6.3). */
const ACCEPTED = [get("A: b\n"), post("Content-Length: 3\r\nContent-Length: 3\r\n", "abc")];
/** Two Hosts (RFC 9112, 3.2), two spaces (3), and a version that is not spoken (2.3). */
const REFUSED = [
  `GET / HTTP/1.1\r\n${HOST}${HOST}\r\n`,
  "GET  / HTTP/1.1\r\nHost: x\r\n\r\n",
  "GET / HTTP/2.0\r\nHost: x\r\n\r\n",
];

test("serve() refuses each request that node:http refuses, with two exceptions", async () => {
  const accepted: string[] = [];
  const refused: string[] = [];
  for (const request of requests) {
    const [theirs, ours] = await Promise.all([byNode(request), byGuest(request)]);
    if (theirs >= 400 && (ours < 400 || ours === 0)) accepted.push(request);
    if (theirs < 400 && ours >= 400) refused.push(request);
  }
  expect(accepted).toEqual(ACCEPTED);
  expect(refused).toEqual(REFUSED);
});
