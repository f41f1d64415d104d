// WebServer and proxies that keep their connections to it and share them among clients: whatever
// some clients send, each of the others gets the answers to its own requests.
import { writeFileSync } from "node:fs";
import net from "node:net";
import { afterAll, afterEach, beforeAll, expect } from "vitest";
import { Appliance, makeFolder, removeFolders } from "../../support/appliance.ts";
import { type FrontEnd, startHaproxy, startNginx } from "../../support/front-ends.ts";
import { witness } from "../../support/outside-program.ts";
import { SEEDS } from "../../support/request-corpus.ts";

const REQUESTS = 10_000;
const FILES = 500;
const HONEST = 8;
const HOSTILE = 16;
/** An attack that is not answered is given up. */
const PATIENCE_MS = 50;
/** Nobody asks for it openly. */
const POISON = "GET /poison HTTP/1.1\r\nHost: x\r\n\r\n";

/** Ways to write Transfer-Encoding that one reader may take for it, and another not. */
const ENCODINGS = [
  "Transfer-Encoding: chunked",
  "Transfer-Encoding : chunked",
  " Transfer-Encoding: chunked",
  "X: y\r\n Transfer-Encoding: chunked",
  "X: y\nTransfer-Encoding: chunked",
  "X: y\rTransfer-Encoding: chunked",
  "Transfer-Encoding:\tchunked",
  "Transfer-Encoding:\x0bchunked",
  "Transfer-Encoding: \x00chunked",
  "Transfer-Encoding: chunked\x00",
  "Transfer-Encoding: xchunked",
  "Transfer-Encoding: chunkedx",
  'Transfer-Encoding: "chunked"',
  "Transfer-Encoding: chunked, identity",
  "Transfer-Encoding: identity, chunked",
  "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
  "Transfer-Encoding: chunked\r\nTransfer-Encoding: x",
  "Transfer-Encoding: chunked;a",
  "Transfer-Encoding:\r\n chunked",
  "Transfer\x00-Encoding: chunked",
  "Transfer-Encoding\x0b: chunked",
  "transfer-Encoding: CHUNKED",
  "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked",
  "Connection: Content-Length",
];

/** Bodies that end in different places for different readers. */
const BODIES = [
  `0\r\n\r\n${POISON}`,
  `${POISON.length.toString(16)}\r\n${POISON}\r\n0\r\n\r\n`,
  `0\n\n${POISON}`,
  `1\r\nZ\r\nQ\r\n\r\n${POISON}`,
  `0;\n${POISON}`,
  `100000000\r\n\r\n${POISON}`,
  `0\r\nX: ${POISON}`,
  POISON,
];

function attackOf(method: string, encoding: string, body: string, length: number): string {
  const fields = `Host: x\r\nContent-Length: ${length}\r\n${encoding}\r\n`;
  return `${method} /f0 HTTP/1.1\r\n${fields}\r\n${body}`;
}

const ATTACKS: readonly string[] = [
  ...["GET", "POST", "HEAD"].flatMap((method) =>
    ENCODINGS.flatMap((encoding) =>
      BODIES.flatMap((body) =>
        [4, 5, body.length, body.length - POISON.length, body.length + 10].map((length) =>
          attackOf(method, encoding, body, length),
        ),
      ),
    ),
  ),
  ...SEEDS.map((seed) => seed + POISON),
];

let torito: Appliance;
const frontEnds: FrontEnd[] = [];
beforeAll(async () => {
  const site = makeFolder();
  for (let i = 0; i < FILES; i++) writeFileSync(`${site}/f${i}`, `<f${i}>`);
  writeFileSync(`${site}/poison`, "<poison>");
  torito = await Appliance.serve(site);
});
afterEach(async () => {
  for (const one of frontEnds.splice(0)) await one.stop();
});
afterAll(async () => {
  await torito.stop();
  removeFolders();
});

/** A client that asks for one file after the other, on as few connections as it can. */
class Honest {
  readonly #port: number;
  #socket: net.Socket | null = null;
  #text = "";
  #wake: () => void = () => {};

  constructor(port: number) {
    this.#port = port;
  }

  /** The body that is answered, or null: the connection has ended. */
  async ask(path: string): Promise<string | null> {
    this.#socket ??= this.#connect();
    this.#text = "";
    this.#socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
    for (;;) {
      const match = /^HTTP\/1\.1 (\d+)[\s\S]*?\r\ncontent-length: (\d+)[\s\S]*?\r\n\r\n/i.exec(
        this.#text,
      );
      const body = match === null ? "" : this.#text.slice(match[0].length);
      if (match !== null && body.length >= Number(match[2])) return `${match[1]} ${body}`;
      if (this.#socket === null) return null;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  #connect(): net.Socket {
    const socket = net.connect(this.#port, "127.0.0.1");
    socket.on("data", (chunk) => {
      this.#text += chunk.toString("latin1");
      this.#wake();
    });
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#socket = null;
      this.#wake();
    });
    return socket;
  }

  end(): void {
    this.#socket?.destroy();
  }
}

/** Sends the bytes and waits for the end, or for a while. */
function attack(port: number, bytes: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.write(Buffer.from(bytes, "latin1"));
    socket.resume().on("error", () => {});
    const timer = setTimeout(() => socket.destroy(), PATIENCE_MS);
    socket.on("close", () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Sends all of it through the proxy at `port`. Returns what honest clients got that is wrong. */
async function besiege(port: number): Promise<string[]> {
  const wrong: string[] = [];
  let left = REQUESTS;
  let attacks = 0;
  const honest = Array.from({ length: HONEST }, async (_, i) => {
    const client = new Honest(port);
    for (let asked = i; left > 0; asked += HONEST + 1) {
      left--;
      const path = `/f${asked % FILES}`;
      const answer = await client.ask(path);
      // A proxy may answer 502 when the connection that it had kept is the attack's.
      const isRight =
        answer === null || answer === `200 <${path.slice(1)}>` || answer.startsWith("502 ");
      if (!isRight) wrong.push(`${path}: ${answer}`);
    }
    client.end();
  });
  const hostile = Array.from({ length: HOSTILE }, async (_, i) => {
    for (let at = i; left > 0; at += HOSTILE) {
      attacks++;
      await attack(port, ATTACKS[(at * 7) % ATTACKS.length] as string);
    }
  });
  await Promise.all([...honest, ...hostile]);
  expect(attacks).toBeGreaterThan(REQUESTS / 10);
  return wrong;
}

witness(
  "haproxy",
  "HF1: through haproxy no client gets the answer to another's request",
  async () => {
    const haproxy = await startHaproxy([torito.port], "  http-reuse always\n");
    frontEnds.push(haproxy);
    expect(await besiege(haproxy.port)).toEqual([]);
  },
);

witness("nginx", "HF1: through nginx no client gets the answer to another's request", async () => {
  const nginx = await startNginx(
    `location / {
      proxy_pass http://torito; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering off;
    }`,
    `upstream torito { server 127.0.0.1:${torito.port}; keepalive 8; }`,
  );
  frontEnds.push(nginx);
  expect(await besiege(nginx.port)).toEqual([]);
});
