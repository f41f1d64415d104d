// serve() of the guest library, by raw requests over vsock: bodies (RFC 9112), faults, bounds.
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import { compileOnce } from "../support/compiled.ts";

let image: WebAssembly.Module;
let map: string;
let server: Server;
beforeAll(async () => {
  const made = await compileOnce("test/guest/api.ts", "debug", { kind: "application" });
  image = new WebAssembly.Module(made.wasm);
  map = made.map;
  server = await Server.boot();
});
afterAll(() => server.machine.dispose());

class Server {
  readonly log: string[] = [];
  private constructor(
    readonly machine: Machine,
    readonly vsock: VsockDevice,
    log: string[],
  ) {
    this.log = log;
  }

  static async boot(options: Partial<MachineOptions> = {}): Promise<Server> {
    const vsock = new VsockDevice();
    const log: string[] = [];
    const machine = await Machine.create({
      image,
      sourceMap: map,
      devices: [vsock],
      log: (level, who, message) => log.push(`${level} ${who}: ${message}`),
      ...options,
    });
    machine.boot();
    return new Server(machine, vsock, log);
  }

  /** A connection that has sent the text. */
  async open(text: string): Promise<Conversation> {
    const { readable, writable } = await this.vsock.connect(80);
    const conversation = new Conversation(readable.getReader(), writable.getWriter());
    await conversation.send(text);
    return conversation;
  }

  /** All that is answered to requests of which the last one ends the connection. */
  async ask(text: string): Promise<string> {
    return (await this.open(text)).rest();
  }
}

class Conversation {
  #received = "";
  constructor(
    readonly reader: ReadableStreamDefaultReader<Uint8Array>,
    readonly writer: WritableStreamDefaultWriter<Uint8Array>,
  ) {}

  async send(text: string): Promise<void> {
    await this.writer.write(Uint8Array.from(text, (c) => c.charCodeAt(0)));
  }

  /** Takes bytes until the pattern fits. */
  async until(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#received)) {
      const { value, done } = await this.reader.read();
      if (done) throw new Error(`the connection ended after ${JSON.stringify(this.#received)}`);
      this.#received += String.fromCharCode(...value);
    }
    const text = this.#received;
    this.#received = "";
    return text;
  }

  /** Takes bytes until the server ends the connection. */
  async rest(): Promise<string> {
    try {
      for (;;) {
        const { value, done } = await this.reader.read();
        if (done) break;
        for (const byte of value) this.#received += String.fromCharCode(byte);
      }
    } catch {
      this.#received += "<reset>";
    }
    this.writer.close().catch(() => {});
    return this.#received;
  }
}

const CLOSE = "Host: x\r\nConnection: close\r\n";
const post = (path: string, headers: string, body: string) =>
  `POST ${path} HTTP/1.1\r\n${CLOSE}${headers}\r\n${body}`;
const echo = (headers: string, body: string) => server.ask(post("/echo", headers, body));
const chunked = (body: string) => echo("Transfer-Encoding: chunked\r\n", body);
const statusOf = (answer: string) => Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1] ?? 0);
const bodyOf = (answer: string) => answer.slice(answer.indexOf("\r\n\r\n") + 4);

describe("the framing of bodies", () => {
  test("HB1: Transfer-Encoding with Content-Length, or from HTTP/1.0, is answered 400", async () => {
    const both = "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n";
    expect(statusOf(await echo(both, "3\r\nabc\r\n0\r\n\r\n"))).toBe(400);
    const length = "Content-Length: 3\r\ntransfer-encoding:chunked\r\n";
    expect(statusOf(await echo(length, "abc"))).toBe(400);
    const old = `POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`;
    expect(statusOf(await server.ask(old))).toBe(400);
  });

  test("HB2: a last coding other than chunked is answered 400, an unknown coding 501", async () => {
    const status = async (codings: string) =>
      statusOf(await echo(`Transfer-Encoding: ${codings}\r\n`, "0\r\n\r\n"));
    expect(await status("gzip")).toBe(400);
    expect(await status("identity")).toBe(400);
    expect(await status("chunked, gzip")).toBe(400);
    expect(await status("chunked, chunked")).toBe(400);
    expect(await status("xchunked")).toBe(400);
    expect(await status("gzip, chunked")).toBe(501);
    expect(await status("gzip\r\nTransfer-Encoding: chunked")).toBe(501);
    expect(await status("CHUNKED")).toBe(200);
    expect(await status(", chunked ,")).toBe(200);
  });

  test("HB3: equal lengths are merged; others, and what is no length, are answered 400", async () => {
    const status = async (value: string, body = "abc") =>
      statusOf(await echo(`Content-Length: ${value}\r\n`, body));
    expect(await status("3\r\nContent-Length: 3")).toBe(200);
    expect(await status("3\r\nContent-Length: 03")).toBe(200);
    for (const value of ["3\r\nContent-Length: 4", "3, 3", "+3", "-3", "0x3", "3 3", "", "1e1"]) {
      expect(await status(value), value).toBe(400);
    }
    expect(await status("9223372036854775808")).toBe(400);
    expect(await status("9".repeat(400))).toBe(400);
    expect(await status("9223372036854775807")).toBe(413);
  });

  test("HB4: chunks are put together, whatever their sizes and packets", async () => {
    const body = "5\r\nhello\r\n1;name=value\r\n \r\n00005\r\nworld\r\n0\r\n\r\n";
    expect(bodyOf(await chunked(body))).toBe("hello world");
    const c = await server.open(post("/echo", "Transfer-Encoding: chunked\r\n", ""));
    for (const byte of body) await c.send(byte);
    expect(bodyOf(await c.rest())).toBe("hello world");
    expect(bodyOf(await chunked(`${"1\r\nx\r\n".repeat(10_000)}0\r\n\r\n`))).toHaveLength(10_000);
    expect(bodyOf(await chunked("A\r\n0123456789\r\nb\r\n0123456789a\r\n0\r\n\r\n"))).toHaveLength(
      21,
    );
  });

  test("HB4: malformed chunks are answered 400", async () => {
    const bad = [
      "\r\nabc\r\n0\r\n\r\n",
      "x\r\n",
      "-1\r\na\r\n0\r\n\r\n",
      "+1\r\na\r\n0\r\n\r\n",
      "0x1\r\na\r\n0\r\n\r\n",
      "1 \r\na\r\n0\r\n\r\n",
      " 1\r\na\r\n0\r\n\r\n",
      "1 ;x\r\na\r\n0\r\n\r\n",
      "1\na\r\n0\r\n\r\n",
      "1\r\nab\r\n0\r\n\r\n",
      "1\r\na\n0\r\n\r\n",
      "1\r\na0\r\n\r\n",
      "ffffffffffffffff1\r\na\r\n0\r\n\r\n",
      "10000000000000000\r\na\r\n0\r\n\r\n",
      `1;${"x".repeat(2000)}\r\na\r\n0\r\n\r\n`,
      `${"0".repeat(2000)}1\r\na\r\n0\r\n\r\n`,
    ];
    for (const body of bad) {
      expect(statusOf(await chunked(body)), JSON.stringify(body.slice(0, 40))).toBe(400);
    }
  });

  test("HB5: trailers are dropped, and too many of them answered 400", async () => {
    expect(bodyOf(await chunked("1\r\na\r\n0\r\nX-Sum: 1\r\nHost: y\r\n\r\n"))).toBe("a");
    for (const line of ["no field", ": value", "X Sum: 1", "X: \0"]) {
      expect(statusOf(await chunked(`1\r\na\r\n0\r\n${line}\r\n\r\n`)), line).toBe(400);
    }
    const many = `1\r\na\r\n0\r\n${"X-Trailer: 0123456789\r\n".repeat(1000)}\r\n`;
    expect(statusOf(await chunked(many))).toBe(400);
  });

  test("HB6: without either header there is no body", async () => {
    const two = `POST /echo HTTP/1.1\r\nHost: x\r\n\r\n${post("/count", "", "")}`;
    const answer = await server.ask(two);
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(2);
    expect(answer.endsWith("0 0")).toBe(true);
  });
});

describe("HB7: a client that waits for 100 Continue", () => {
  const head = (path: string) =>
    `POST ${path} HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n`;

  test("gets it when the handler asks for the body", async () => {
    const c = await server.open(head("/echo"));
    expect(await c.until(/\r\n\r\n/)).toBe("HTTP/1.1 100 Continue\r\n\r\n");
    await c.send("abc");
    expect(bodyOf(await c.until(/abc$/))).toBe("abc");
    await c.writer.close();
  });

  test("gets the final status alone from a handler that does not, and then the end", async () => {
    const c = await server.open(head("/ignore"));
    const answer = await c.rest();
    expect(statusOf(answer)).toBe(200);
    expect(answer).not.toContain("100 Continue");
  });

  test("gets 413 at once for a body that is too long, and 417 for another expectation", async () => {
    const long = "Content-Length: 2000000\r\nExpect: 100-continue\r\n";
    expect(statusOf(await server.ask(post("/echo", long, "")))).toBe(413);
    expect(statusOf(await server.ask(post("/echo", "Expect: a-miracle\r\n", "")))).toBe(417);
  });
});

describe("HB8: a body that no handler reads", () => {
  const ignore = (length: number) =>
    `POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: ${length}\r\n\r\n${"x".repeat(length)}`;

  test("is dropped, and the next request answered", async () => {
    const answer = await server.ask(ignore(10) + ignore(50_000) + post("/echo", "", ""));
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(3);
  });

  test("that is long ends the connection after the answer", async () => {
    const answer = await server.ask(ignore(200_000) + post("/echo", "", ""));
    expect(answer.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
    expect(answer).not.toContain("<reset>");
  });

  test("is not taken for a request, whatever it holds", async () => {
    const inner = post("/throw", "", "");
    const length = `Content-Length: ${inner.length}`;
    const outer = `POST /ignore HTTP/1.1\r\nHost: x\r\n${length}\r\n\r\n${inner}`;
    const answer = await server.ask(outer + post("/ignore", "", ""));
    expect(answer.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 200"]);
  });
});

describe("responses", () => {
  const get = (path: string, version = "1.1", method = "GET") =>
    server.ask(`${method} ${path} HTTP/${version}\r\n${CLOSE}\r\n`);

  test("HB9: HEAD has the head of GET and no body; 204 and 304 have none", async () => {
    const head = await get("/", "1.1", "HEAD");
    expect(head).toContain("Content-Length: 6\r\n");
    expect(bodyOf(head)).toBe("");
    expect(bodyOf(await get("/stream/3", "1.1", "HEAD"))).toBe("");
    for (const status of [204, 304]) {
      const answer = await get(`/status/${status}`);
      expect(statusOf(answer)).toBe(status);
      expect(answer).not.toContain("Content-Length");
      expect(bodyOf(answer)).toBe("");
    }
  });

  test("HB10: control characters in names and values of headers are refused", async () => {
    const values = [
      "value=a%0d%0aX-Evil:%201",
      "value=%00",
      "value=%0a",
      "name=a%20b",
      "name=a%3a",
    ];
    for (const query of [...values, "name=%0d", "name=Content-Length", "name=transfer-encoding"]) {
      const answer = await get(`/header?${query}`);
      expect(statusOf(answer), query).toBe(500);
      expect(answer).not.toContain("X-Evil");
    }
    expect(await get("/header?name=X-Good&value=a%09b%20%C3%A9")).toContain(
      "X-Good: a\tb \xc3\xa9\r\n",
    );
  });

  test("HB11: pieces are chunks for HTTP/1.1, and for HTTP/1.0 end with the connection", async () => {
    const newer = await get("/stream/2");
    expect(newer).toContain("Transfer-Encoding: chunked");
    expect(bodyOf(newer)).toBe("7\r\nline 0\n\r\n7\r\nline 1\n\r\n0\r\n\r\n");
    const older = await server.ask("GET /stream/2 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    expect(older).not.toContain("Transfer-Encoding");
    expect(older).toContain("Connection: close");
    expect(bodyOf(older)).toBe("line 0\nline 1\n");
  });

  test("and bodies go in scopes of their handler, and take no memory that grows", async () => {
    const answer = bodyOf(await get("/scopes/20000"));
    expect(answer.match(/\d+(?=,\r\n)/g)).toEqual(Array.from({ length: 20_000 }, (_, i) => `${i}`));
    const body = `${"A\r\n0123456789\r\n".repeat(3000)}0\r\n\r\n`;
    const counted = await server.ask(post("/scopes", "Transfer-Encoding: chunked\r\n", body));
    expect(bodyOf(counted)).toBe("30000");
  });

  test("follow each other in the order of pipelined requests", async () => {
    const requests = Array.from(
      { length: 50 },
      (_, i) => `GET /greet/${i}/x HTTP/1.1\r\nHost: x\r\n\r\n`,
    );
    const answer = await server.ask(`${requests.join("")}GET / HTTP/1.1\r\n${CLOSE}\r\n`);
    const names = [...answer.matchAll(/"name":"(\d+)"/g)].map(([, name]) => Number(name));
    expect(names).toEqual(Array.from({ length: 50 }, (_, i) => i));
  });

  test("of the router: 404, 405 with Allow, 204 to OPTIONS, any rest of a path", async () => {
    expect(statusOf(await get("/nowhere"))).toBe(404);
    const other = await get("/", "1.1", "DELETE");
    expect(statusOf(other)).toBe(405);
    expect(other).toContain("Allow: GET, HEAD\r\n");
    const options = await get("/files/a", "1.1", "OPTIONS");
    expect(statusOf(options)).toBe(204);
    expect(options).toContain("Allow: GET, HEAD, PUT\r\n");
    expect(bodyOf(await get("/files/a/b?c"))).toBe("/files/a/b");
    expect(bodyOf(await get("http://host/files/"))).toBe("/files/");
  });

  test("have parts of the path and values of the query decoded", async () => {
    const answer = await get("/greet/J%C3%BCrg%2f/%ff?x=1&q=a+b%26%3d&q=2");
    expect(JSON.parse(Buffer.from(bodyOf(answer), "latin1").toString())).toEqual({
      name: "Jürg/",
      tail: "\ufffd",
      path: "/greet/J%C3%BCrg%2f/%ff",
      query: "x=1&q=a+b%26%3d&q=2",
      q: "a b&=",
    });
  });
});

describe("A11: a handler that throws", () => {
  const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`;

  test("answers 500, with the author's line in the log, and other connections go on", async () => {
    const other = await server.open(get("/"));
    await other.until(/hello/);
    const answer = await server.ask(get("/throw"));
    expect(statusOf(answer)).toBe(500);
    expect(answer).not.toContain("lost");
    expect(server.log.at(-1)).toMatch(/Index out of range at test\/guest\/api\.ts:\d+:\d+$/);
    await other.send(get("/"));
    expect(await other.until(/hello/)).toContain("200 OK");
    await other.writer.close();
  });

  test("resets the connection once a part was sent", async () => {
    const answer = await server.ask(get("/throw/late"));
    expect(answer).toContain("4\r\nsome\r\n");
    expect(answer).toContain("<reset>");
  });

  test("A7: ends alone when it builds for ever", async () => {
    expect(statusOf(await server.ask(get("/grow")))).toBe(500);
    expect(statusOf(await server.ask(post("/echo", "", "")))).toBe(200);
  });
});

describe("bounds", () => {
  test("A2, A4: an idle connection holds no memory for objects", async () => {
    const { machine } = server;
    const idle: Conversation[] = [];
    const held = async () => Number(bodyOf(await server.ask(`GET /held HTTP/1.1\r\n${CLOSE}\r\n`)));
    const before = await held();
    for (let i = 0; i < 100; i++) {
      const c = await server.open(`GET / HTTP/1.1\r\nHost: x\r\n\r\n`);
      await c.until(/hello/);
      idle.push(c);
    }
    // Its own chunk is all that the running thread has, and it has no more than before.
    expect(await held()).toBe(before);
    expect(machine.ended).toBe(false);
    for (const c of idle) await c.writer.close();
  });

  test("a body beyond the bound is answered 413, by length and in chunks", async () => {
    const small = await Server.boot({ parameters: "body=100" });
    const over = "x".repeat(101);
    expect(statusOf(await small.ask(post("/echo", "Content-Length: 101\r\n", over)))).toBe(413);
    const chunks = `65\r\n${over}\r\n0\r\n\r\n`;
    expect(statusOf(await small.ask(post("/echo", "Transfer-Encoding: chunked\r\n", chunks)))).toBe(
      413,
    );
    const fits = `64\r\n${over.slice(1)}\r\n0\r\n\r\n`;
    const answer = await small.ask(post("/echo", "Transfer-Encoding: chunked\r\n", fits));
    expect(bodyOf(answer)).toHaveLength(100);
    small.machine.dispose();
  });

  test("a body that readInto() takes may be longer than memory", async () => {
    const large = await Server.boot({ parameters: "body=100000000" });
    const c = await large.open(post("/count", "Content-Length: 20000000\r\n", ""));
    for (let sent = 0; sent < 20; sent++) await c.send("x".repeat(1_000_000));
    expect(bodyOf(await c.rest())).toBe("20000000 0");
    large.machine.dispose();
  });

  test("heads and bodies that come too slowly are answered 408", async () => {
    const hasty = await Server.boot({ parameters: "head=100 late=100" });
    expect(statusOf(await hasty.ask("GET / HTTP/1.1\r\nHo"))).toBe(408);
    expect(statusOf(await hasty.ask(post("/echo", "Content-Length: 3\r\n", "a")))).toBe(408);
    const half = post("/echo", "Transfer-Encoding: chunked\r\n", "5\r\nab");
    expect(statusOf(await hasty.ask(half))).toBe(408);
    expect(bodyOf(await hasty.ask(post("/count", "Content-Length: 3\r\n", "a")))).toBe("1 -11");
    hasty.machine.dispose();
  });

  test("long lines, heads and many headers are answered 414 and 431", async () => {
    const line = `GET /${"x".repeat(9000)} HTTP/1.1\r\n${CLOSE}\r\n`;
    expect(statusOf(await server.ask(line))).toBe(414);
    const field = `X: ${"x".repeat(1000)}\r\n`;
    const head = `GET / HTTP/1.1\r\n${CLOSE}${field.repeat(20)}\r\n`;
    expect(statusOf(await server.ask(head))).toBe(431);
    const many = `GET / HTTP/1.1\r\n${CLOSE}${"a:b\r\n".repeat(101)}\r\n`;
    expect(statusOf(await server.ask(many))).toBe(431);
  });

  test("connections beyond the bound are answered 503, and taken when others have ended", async () => {
    const few = await Server.boot({ parameters: "connections=2" });
    const open = [];
    for (let i = 0; i < 2; i++) {
      const c = await few.open("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
      await c.until(/hello/);
      open.push(c);
    }
    expect(statusOf(await few.ask("GET / HTTP/1.1\r\nHost: x\r\n\r\n"))).toBe(503);
    for (const c of open) {
      await c.writer.close();
      await c.rest();
    }
    expect(statusOf(await few.ask(`GET / HTTP/1.1\r\n${CLOSE}\r\n`))).toBe(200);
    few.machine.dispose();
  });

  test("four thousand connections with half a head each leave room to answer others", async () => {
    const crowded = await Server.boot({
      parameters: "connections=5000 head=60000",
      memoryBytes: 256 * 1024 * 1024,
    });
    const waiting: Conversation[] = [];
    for (let i = 0; i < 4000; i++) waiting.push(await crowded.open("GET / HTTP/1.1\r\nHost:"));
    expect(statusOf(await crowded.ask(`GET / HTTP/1.1\r\n${CLOSE}\r\n`))).toBe(200);
    for (const c of waiting) await c.send(" x\r\n\r\n");
    for (const c of waiting) expect(await c.until(/hello/)).toContain("200 OK");
    crowded.machine.dispose();
  });

  test("a client that leaves in the middle of a body ends its handler and nothing else", async () => {
    const c = await server.open(post("/echo", "Content-Length: 1000\r\n", "abc"));
    await c.writer.abort();
    expect(statusOf(await server.ask(post("/echo", "", "")))).toBe(200);
    expect(server.machine.ended).toBe(false);
  });
});
