// WebServer with bodies, expectations and the ends of connections (HF6, HF7, HF11 to HF19), on a
// clock that the test turns.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, type Options, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const HOST = "Host: x\r\n";
const GOOD = `GET /good HTTP/1.1\r\n${HOST}\r\n`;
const post = (length: number, body = "") =>
  `POST /good HTTP/1.1\r\n${HOST}Content-Length: ${length}\r\n\r\n${body}`;
const chunked = (body: string) =>
  `GET /good HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n${body}`;
const KIB_64 = 65536;

async function serveSite(options: Options = {}) {
  const site = makeFolder();
  writeFileSync(`${site}/good`, "good");
  mkdirSync(`${site}/sub`);
  const server = await serve(site, options);
  const open = () => new Conversation(server, server.connect(new Client()));
  const serveText = (text: string) => open().send(text).statuses;
  return { ...server, site, open, serveText };
}

class Conversation {
  readonly #server: { settle(): void };
  readonly client: Client;

  constructor(server: { settle(): void }, client: Client) {
    this.#server = server;
    this.client = client;
  }

  send(text: string, pieceBytes = 4096): this {
    for (let at = 0; at < text.length && !this.client.left; at += pieceBytes) {
      this.client.events.data(Buffer.from(text.slice(at, at + pieceBytes), "latin1"));
      this.#server.settle();
    }
    return this;
  }

  get responses() {
    return parseResponses(this.client.received);
  }

  /** The statuses, with `x` for `Connection: close`. */
  get statuses(): string {
    return this.responses
      .map(({ status, headers }) => `${status}${headers.get("connection") === "close" ? " x" : ""}`)
      .join("+");
  }
}

describe("HF6: a body is dropped", () => {
  test.each([0, 1, 5, 1000, KIB_64])("of %d bytes, and the connection goes on", async (bytes) => {
    const { serveText, machine } = await serveSite();
    expect(serveText(post(bytes, "b".repeat(bytes)) + GOOD)).toBe("405+200");
    machine.dispose();
  });

  test("in pieces of a byte, in chunks or not, without waiting for it to answer", async () => {
    const { open, machine } = await serveSite();
    const one = open().send(post(3));
    expect(one.statuses).toBe("405");
    expect(one.send(`abc${GOOD}`, 1).statuses).toBe("405+200");
    const other = open().send(chunked(`3;e\r\nabc\r\n0\r\nT: t\r\n\r\n${GOOD}`), 1);
    expect(other.statuses).toBe("200+200");
    machine.dispose();
  });

  test("in chunks up to 64 KiB; from there on the answer is the last", async () => {
    const { serveText, machine } = await serveSite();
    const chunk = `1000\r\n${"c".repeat(4096)}\r\n`;
    const end = "0\r\n\r\n";
    expect(serveText(chunked(chunk.repeat(16) + end) + GOOD)).toBe("200+200");
    expect(serveText(chunked(chunk.repeat(17) + end) + GOOD)).toBe("200 x");
    machine.dispose();
  });

  test("of more by its length is answered at once, and read for 256 KiB or 2 s", async () => {
    const { open, clock, settle, count, machine } = await serveSite();
    const one = open().send(post(KIB_64 + 1));
    expect(one.statuses).toBe("405 x");
    one.send("b".repeat(200_000));
    expect(one.client.left).toBe(false);
    one.send("b".repeat(62_144 + 1));
    expect(count("threadCount")).toBe(2);
    const slow = open().send(post(1_000_000));
    clock.advance(1900);
    settle();
    expect(count("threadCount")).toBe(3);
    clock.advance(200);
    settle();
    expect(count("threadCount")).toBe(2);
    expect(slow.statuses).toBe("405 x");
    machine.dispose();
  });

  test("of known length that takes more than 5 s ends the connection without words", async () => {
    const { open, clock, settle, machine } = await serveSite();
    const one = open().send(post(5, "123"));
    clock.advance(4900);
    settle();
    expect(one.send(`45${GOOD}`).statuses).toBe("405+200");
    const late = open().send(post(5, "123"));
    clock.advance(5100);
    settle();
    expect(late.statuses).toBe("405");
    expect(late.client.left).toBe(true);
    machine.dispose();
  });

  test("in chunks that takes more than 5 s is answered, and the connection ends", async () => {
    const { open, clock, settle, machine } = await serveSite();
    const one = open().send(chunked("5\r\n12"));
    clock.advance(4900);
    settle();
    expect(one.statuses).toBe("");
    expect(one.send(`345\r\n0\r\n\r\n${GOOD}`).statuses).toBe("200+200");
    const late = open().send(chunked("5\r\n12"));
    clock.advance(5100);
    settle();
    expect(late.statuses).toBe("200 x");
    machine.dispose();
  });

  test("after a head that fills the buffer, too", async () => {
    const { serveText, machine } = await serveSite();
    const fill = (head: string) => head.replace(HOST, `${HOST}A: ${"a".repeat(16_384)}\r\n`);
    const whole = fill(chunked(""));
    const head = whole.replace("a".repeat(whole.length - 16_384), "");
    expect(head.length).toBe(16_384);
    expect(serveText(`${head}5\r\n12345\r\n0\r\n\r\n${GOOD}`)).toBe("200+200");
    machine.dispose();
  });

  test("and while it is awaited, the connection holds no buffer", async () => {
    const { open, count, machine } = await serveSite();
    open().send(chunked("1\r\n"));
    const before = count("heapInUse");
    const many = Array.from({ length: 100 }, () => open().send(chunked("1\r\n")));
    expect(count("heapInUse") - before).toBeLessThan(100 * 16_384);
    for (const one of many) expect(one.send("c\r\n0\r\n\r\n").statuses).toBe("200");
    machine.dispose();
  });

  test("a body that looks like a request is none", async () => {
    const { serveText, machine } = await serveSite();
    expect(serveText(post(GOOD.length, GOOD) + GOOD)).toBe("405+200");
    const chunk = `${GOOD.length.toString(16)}\r\n${GOOD}\r\n0\r\n\r\n`;
    expect(serveText(chunked(chunk) + GOOD)).toBe("200+200");
    machine.dispose();
  });
});

test("HF1: no method, path or file makes a difference to a framing that is wrong", async () => {
  const { serveText, machine } = await serveSite();
  const faults: [string, string][] = [
    ["Content-Length: 1\r\nContent-Length: 2\r\n", "400 x"],
    ["Transfer-Encoding: gzip\r\n", "501 x"],
    ["Transfer-Encoding: chunked\r\n", "400 x"], // and no chunk follows
  ];
  for (const [fields, answer] of faults) {
    for (const method of ["GET", "POST", "OPTIONS", "BREW", "TRACE"]) {
      for (const path of ["/good", "/missing", "/sub", "/%zz", "/..", "http://y/"]) {
        const head = `${method} ${path} HTTP/1.1\r\n${HOST}${fields}\r\n`;
        expect(serveText(head + GOOD), head).toBe(answer);
      }
    }
  }
  machine.dispose();
});

describe("HF7: expectations", () => {
  const expects = (what: string) =>
    `POST /good HTTP/1.1\r\n${HOST}Expect: ${what}\r\nContent-Length: 5\r\n\r\n`;

  test("100-continue gets the final status at once, which is the last", async () => {
    const { serveText, machine } = await serveSite();
    expect(serveText(expects("100-continue"))).toBe("405 x");
    expect(serveText(`${expects("100-Continue")}12345${GOOD}`)).toBe("405 x");
    machine.dispose();
  });

  test("others get 417, alone or with 100-continue; without a body nothing is awaited", async () => {
    const { serveText, machine } = await serveSite();
    expect(serveText(`${expects("a-miracle")}12345${GOOD}`)).toBe("417+200");
    expect(serveText(expects("100-continue, a-miracle"))).toBe("417 x");
    const nothing = GOOD.replace(HOST, `${HOST}Expect: 100-continue\r\n`);
    expect(serveText(nothing + GOOD)).toBe("200+200");
    machine.dispose();
  });
});

test("HF11: with a sound frame 404, 405, 412, 416, 417 and 501 leave the connection open", async () => {
  const { serveText, machine } = await serveSite();
  const requests = [
    GOOD.replace("good", "missing"),
    GOOD.replace("GET", "PUT"),
    GOOD.replace(HOST, `${HOST}If-Match: "x"\r\n`),
    GOOD.replace(HOST, `${HOST}Range: bytes=9-\r\n`),
    GOOD.replace(HOST, `${HOST}Expect: x\r\n`),
    GOOD.replace("GET", "BREW"),
  ];
  expect(serveText(requests.join("") + GOOD)).toBe("404+405+412+416+417+501+200");
  machine.dispose();
});

test("HF12: with the option strict a line that ends in a bare LF is 400", async () => {
  const { serveText, machine } = await serveSite({ settings: { strict: true } });
  expect(serveText(GOOD + GOOD.replaceAll("\r\n", "\n") + GOOD)).toBe("200+400 x");
  expect(serveText(GOOD.replace("x\r", "x"))).toBe("400 x");
  expect(serveText(`\n${GOOD}`)).toBe("400 x");
  expect(serveText(`\r\n${GOOD}`)).toBe("200");
  machine.dispose();
});

test("HF13: close is final; other options and Upgrade are ignored", async () => {
  const { serveText, machine } = await serveSite();
  const connection = (options: string) => GOOD.replace(HOST, `${HOST}Connection: ${options}\r\n`);
  expect(serveText(connection("upgrade, Range\r\nUpgrade: websocket") + GOOD)).toBe("200+200");
  expect(serveText(connection("keep-alive, CLOSE") + GOOD)).toBe("200 x");
  machine.dispose();
});

test("HF14: HEAD has the fields of GET and no body; 204 and 304 have no Content-Length", async () => {
  const { open, machine } = await serveSite();
  for (const path of ["/good", "/missing", "/sub"]) {
    const get = GOOD.replace("/good", path);
    const [head] = open().send(get).client.received.split("\r\n\r\n");
    const other = open().send(get.replace("GET", "HEAD"));
    expect(other.client.received).toBe(`${head}\r\n\r\n`);
  }
  const none = GOOD.replace(HOST, `${HOST}If-None-Match: *\r\n`) + GOOD.replace("GET", "OPTIONS");
  expect(open().send(none).client.received).not.toMatch(/Content-Length/i);
  machine.dispose();
});

describe("HF16: pipelined requests", () => {
  test("are answered in order", async () => {
    const { open, machine } = await serveSite();
    const paths = Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? "/good" : `/missing${i}`));
    const text = paths.map((path) => GOOD.replace("/good", path)).join("");
    const statuses = paths.map((path) => (path === "/good" ? 200 : 404));
    expect(
      open()
        .send(text)
        .responses.map(({ status }) => status),
    ).toEqual(statuses);
    machine.dispose();
  });

  test("are served 64 in a row before another connection has its turn", async () => {
    const { open, machine } = await serveSite();
    const order: string[] = [];
    const [a, b] = ["a", "b"].map((name) => {
      const { client } = open();
      client.send = (parts) => {
        const text = Buffer.concat(parts).toString("latin1");
        for (const _ of text.matchAll(/HTTP\/1\.1 200/g)) order.push(name);
        return true;
      };
      return client;
    });
    // Both have their requests before either is served.
    const first = open();
    first.client.send = () => {
      for (const client of [a, b]) client?.events.data(Buffer.from(GOOD.repeat(100)));
      return true;
    };
    first.send(GOOD);
    expect(order.join("")).toBe("a".repeat(64) + "b".repeat(64) + "a".repeat(36) + "b".repeat(36));
    machine.dispose();
  });

  test("end with the ten thousandth", async () => {
    const { open, machine } = await serveSite();
    const one = open();
    for (let i = 0; i < 200; i++) one.send(GOOD.repeat(51));
    const { responses } = one;
    expect(responses).toHaveLength(10_000);
    expect(responses.filter(({ headers }) => headers.get("connection") === "close")).toEqual([
      responses.at(-1),
    ]);
    machine.dispose();
  });
});

describe("HF17: a client that stops", () => {
  test.each([
    ["in a head", `GET / HTTP/1.1\r\n${HOST}`, "408 x"],
    ["in a method", "G", "408 x"],
    ["before its first byte", "", ""],
    ["after an empty line", "\r\n", ""],
    ["in the middle of one", "\r", ""],
    ["after a request", GOOD, "200"],
    ["after a request and an empty line", `${GOOD}\r\n`, "200"],
  ])("%s gets %j in all", async (_, text, answers) => {
    const { open, clock, settle, count, machine } = await serveSite();
    const one = open().send(text);
    for (let second = 0; second < 20; second++) {
      clock.advance(1000);
      settle();
    }
    expect(one.statuses).toBe(answers);
    expect(count("threadCount")).toBe(2);
    machine.dispose();
  });
});

test("HF18: bytes after the last answer are drained, and answered by nothing", async () => {
  const { open, clock, settle, count, machine } = await serveSite();
  const last = GOOD.replace(HOST, `${HOST}Connection: close\r\n`);
  const one = open().send(last + GOOD.repeat(1000));
  expect(one.statuses).toBe("200 x");
  expect(one.client.left).toBe(false);
  clock.advance(2100);
  settle();
  expect(count("threadCount")).toBe(2);
  machine.dispose();
});

test("HF18: while the machine drains each answer is its connection's last", async () => {
  const { open, machine, serveText } = await serveSite();
  const one = open().send(GOOD);
  machine.control.draining = true;
  expect(one.send(GOOD).statuses).toBe("200+200 x");
  machine.control.draining = false;
  expect(serveText(GOOD + GOOD)).toBe("200+200");
  machine.dispose();
});

test("HF19: nothing follows an answer that was torn", async () => {
  const { open, site, settle, machine } = await serveSite();
  writeFileSync(`${site}/large`, "l".repeat(9_000_000));
  const one = open();
  let isCut = false;
  one.client.send = (parts) => {
    for (const part of parts) one.client.received += Buffer.from(part).toString("latin1");
    if (!isCut) writeFileSync(`${site}/large`, "l".repeat(1_000_000));
    isCut = true;
    return true;
  };
  one.send(GOOD.replace("good", "large") + GOOD);
  settle();
  expect(one.client.received.length).toBeLessThan(9_000_000);
  expect(one.client.received.match(/HTTP\/1\.1 /g)).toHaveLength(1);
  expect(one.client.left).toBe(true);
  machine.dispose();
});
