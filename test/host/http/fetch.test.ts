// fetch() of a guest, against a server that the test plays: the request's bytes, the Response,
// bodies as streams both ways, and aborts at every point.
import { beforeEach, describe, expect, test } from "vitest";
import type { FetchError } from "../../../host/http/fetch-error.ts";
import { answering, type HttpPeer, HttpPeers, settle } from "../../support/http-peer.ts";

const EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

let guest: HttpPeers;
const peer = (i = 0) => guest.peers[i] as HttpPeer;
const fetch = (input: Request | string, init?: Parameters<HttpPeers["client"]["fetch"]>[1]) =>
  guest.client.fetch(input, init);

beforeEach(() => {
  guest = new HttpPeers();
});

/** A body whose parts the test supplies. */
function openBody() {
  const stream = new TransformStream<Uint8Array, Uint8Array>();
  const writer = stream.writable.getWriter();
  const write = (text: string) => writer.write(Buffer.from(text));
  return { body: stream.readable, write, writer };
}

describe("the request", () => {
  test("has an origin form, Host, and the caller's fields, which are not repeated", async () => {
    guest.answer = answering(EMPTY);
    const headers = { "X-A": "caf\xe9", Connection: "close", TE: "trailers" };
    await fetch(new Request("http://user.test:8080/a%20b?c=d#e", { headers }));
    expect(peer().received).toBe(
      "GET /a%20b?c=d HTTP/1.1\r\nhost: user.test:8080\r\nx-a: caf\xe9\r\n\r\n",
    );
    expect(peer().port).toBe(80);
  });

  test("goes to the port that the caller names", async () => {
    guest.answer = answering(EMPTY);
    await fetch("http://guest/", { guestPort: 8080 });
    expect(peer().port).toBe(8080);
  });

  test("has Content-Length if its body ends at once", async () => {
    guest.answer = (one) => {
      if (one.received.endsWith("hello")) one.send(EMPTY);
    };
    await fetch("http://guest/", { method: "POST", body: "hello" });
    expect(peer().received).toContain("content-length: 5\r\n");
    expect(peer().received).toContain("content-type: text/plain");
  });

  test("says that the body of a POST is empty", async () => {
    guest.answer = answering(EMPTY);
    await fetch("http://guest/", { method: "POST" });
    expect(peer().received).toContain("content-length: 0\r\n");
  });

  test("sends a longer body in chunks, as they come", async () => {
    const { body, write, writer } = openBody();
    const answer = fetch("http://guest/", { method: "PUT", body, duplex: "half" } as RequestInit);
    void write("hello");
    await settle();
    expect(peer().received).toContain("transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    void write("");
    void write("0123456789");
    await settle();
    expect(peer().received).toMatch(/hello\r\na\r\n0123456789\r\n$/);
    await writer.close();
    await settle();
    expect(peer().received).toMatch(/0123456789\r\n0\r\n\r\n$/);
    peer().send(EMPTY);
    expect((await answer).status).toBe(200);
  });

  test("keeps a stated Content-Length, and fails if the body differs", async () => {
    for (const [stated, isRight] of [
      [10, true],
      [4, false],
      [11, false],
    ] as const) {
      guest = new HttpPeers();
      guest.answer = (one) => {
        if (isRight && one.received.endsWith("helloworld")) one.send(EMPTY);
      };
      const { body, write, writer } = openBody();
      const headers = { "content-length": String(stated) };
      const init = { method: "POST", body, headers, duplex: "half" } as RequestInit;
      const answer = fetch("http://guest/", init).then(
        () => true,
        (error) => error instanceof TypeError && false,
      );
      void write("hello");
      await settle();
      write("world").catch(() => {});
      await settle();
      writer.close().catch(() => {});
      await settle();
      if (isRight) expect(peer().received).toMatch(/content-length: 10\r\n\r\nhelloworld$/);
      expect(await answer, String(stated)).toBe(isRight);
    }
  });

  test("waits for the guest to take a large body, and does not read ahead", async () => {
    let pulled = 0;
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          pulled++;
          controller.enqueue(new Uint8Array(100_000));
          if (pulled === 30) controller.close();
        },
      },
      { highWaterMark: 0 },
    );
    guest.answer = (one) => one.socket.pause();
    const answer = fetch("http://guest/", { method: "PUT", body, duplex: "half" } as RequestInit);
    await settle();
    expect(pulled).toBeLessThan(15); // 1 MiB, which might have been all of it
    guest.answer = (one) => {
      if (one.received.endsWith("\r\n0\r\n\r\n")) one.send(EMPTY);
    };
    peer().socket.resume();
    await answer;
    expect(pulled).toBe(30);
    expect(peer().received.length).toBeGreaterThan(3_000_000);
  });
});

describe("the response", () => {
  test("has status, reason, fields and body", async () => {
    const fields = "Content-Length: 5\r\nSet-Cookie: a=b\r\nSet-Cookie: c=d\r\nX: y\r\n";
    guest.answer = answering(`HTTP/1.1 418 I'm a teapot\r\n${fields}\r\nhello`);
    const response = await fetch("http://guest/");
    expect(response.status).toBe(418);
    expect(response.statusText).toBe("I'm a teapot");
    expect(response.headers.get("x")).toBe("y");
    expect(response.headers.getSetCookie()).toEqual(["a=b", "c=d"]);
    expect(await response.text()).toBe("hello");
  });

  test.each([204, 205, 304])("of status %i has no body", async (status) => {
    guest.answer = answering(`HTTP/1.1 ${status} x\r\nContent-Length: 0\r\n\r\n`);
    expect((await fetch("http://guest/")).body).toBe(null);
  });

  test("of status 205 keeps nothing of a body that nobody can read", async () => {
    guest.answer = answering("HTTP/1.1 205 x\r\nContent-Length: 5\r\n\r\n");
    expect((await fetch("http://guest/")).body).toBe(null);
    peer().send("hello");
    await settle();
    await fetch("http://guest/");
    expect(guest.peers).toHaveLength(1);
  });

  test("to HEAD has the length and no body", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    const response = await fetch("http://guest/", { method: "HEAD" });
    expect(response.headers.get("content-length")).toBe("5");
    expect(response.body).toBe(null);
  });

  test("is there with its head, and its body is a stream", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    const response = await fetch("http://guest/");
    const reader = (response.body as ReadableStream<Uint8Array>).getReader();
    expect(Buffer.from((await reader.read()).value ?? []).toString()).toBe("hello");
    const next = reader.read();
    peer().send("world");
    expect(Buffer.from((await next).value ?? []).toString()).toBe("world");
    expect((await reader.read()).done).toBe(true);
  });

  test("holds the guest up while nobody reads it", async () => {
    const bytes = 4 * 1024 * 1024;
    guest.answer = answering(`HTTP/1.1 200 OK\r\nContent-Length: ${bytes}\r\n\r\n`);
    const response = await fetch("http://guest/");
    const isTaken = peer().socket.send([new Uint8Array(bytes)]);
    await settle();
    expect(isTaken).toBe(false);
    expect(peer().socket.unsent).toBeGreaterThan(bytes - 256 * 1024);
    expect((await response.arrayBuffer()).byteLength).toBe(bytes);
    expect(peer().socket.unsent).toBe(0);
  });

  test("that is cut off errors its body", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    const response = await fetch("http://guest/");
    peer().socket.end();
    await expect(response.text()).rejects.toMatchObject({ code: "EPROTO" });
  });

  test("whose body is cancelled resets the connection", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    await (await fetch("http://guest/")).body?.cancel();
    await settle();
    expect(peer().events).toEqual(["failed", "closed"]);
  });

  test("before the end of the request arrives whole, and the rest is not sent", async () => {
    const { body, write, writer } = openBody();
    guest.answer = (one) => {
      if (one.received.endsWith("hello\r\n"))
        one.send("HTTP/1.1 413 x\r\nContent-Length: 2\r\n\r\nno");
    };
    const init = { method: "POST", body, duplex: "half" } as RequestInit;
    const answer = fetch("http://guest/", init);
    void write("hello");
    expect(await (await answer).text()).toBe("no");
    await expect(writer.closed).rejects.toThrow("response came before");
  });
});

describe("a failure is a TypeError", () => {
  const failure = (input: string, init?: RequestInit) =>
    fetch(input, init).then(
      () => null,
      (error: FetchError) => error,
    );

  test("ECONNREFUSED: the guest does not listen", async () => {
    guest.accepts = false;
    const error = await failure("http://guest/");
    expect(error).toBeInstanceOf(TypeError);
    expect(error).toMatchObject({ code: "ECONNREFUSED", message: /port 80 refused/ });
  });

  test.each(["end", "close", "reset"] as const)("ECONNRESET: the guest answers %s", async (how) => {
    guest.answer = (one) => one.socket[how]();
    expect(await failure("http://guest/")).toMatchObject({ code: "ECONNRESET" });
    expect(guest.peers).toHaveLength(1); // a new connection is not tried twice
  });

  test.each([
    ["nonsense", "nonsense\r\n\r\n"],
    ["a field of nonsense", "HTTP/1.1 200 OK\r\nA: x\0y\r\nContent-Length: 0\r\n\r\n"],
    ["a reason of nonsense", "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n"],
    ["half a head", "HTTP/1.1 200 OK\r\n"],
  ])("EPROTO: the guest sends %s", async (_, text) => {
    guest.answer = (one) => {
      one.send(text);
      one.socket.end();
    };
    expect(await failure("http://guest/")).toMatchObject({ code: "EPROTO" });
    await settle();
    expect(peer().events).toContain("closed");
  });

  test("without a device: ENOTCONN", async () => {
    const { HttpClient } = await import("../../../host/http/client.ts");
    const client = new HttpClient([], { defer: setImmediate });
    await expect(client.fetch("http://guest/")).rejects.toMatchObject({ code: "ENOTCONN" });
  });

  test("of the caller: bad URL, method, body", async () => {
    await expect(fetch("nonsense")).rejects.toThrow(TypeError);
    await expect(fetch("http://guest/", { method: "A B" })).rejects.toThrow(TypeError);
    await expect(fetch("http://guest/", { body: "x" })).rejects.toThrow(TypeError);
    const body = new ReadableStream({
      pull(controller) {
        controller.error(new Error("disk"));
      },
    });
    const init = { method: "PUT", body, duplex: "half" } as RequestInit;
    await expect(fetch("http://guest/", init)).rejects.toThrow("disk");
    expect(guest.peers).toEqual([]);
  });
});

describe("an abort", () => {
  const reason = new Error("enough");
  let abort: AbortController;
  beforeEach(() => {
    abort = new AbortController();
  });
  const start = (init: RequestInit = {}) =>
    fetch("http://guest/", { signal: abort.signal, ...init });

  test("before the request: nothing is sent", async () => {
    abort.abort(reason);
    await expect(start()).rejects.toBe(reason);
    expect(guest.peers).toEqual([]);
  });

  test("while it connects, and while it waits for the response", async () => {
    for (const turns of [0, 5]) {
      const answer = start();
      for (let i = 0; i < turns; i++) await new Promise(setImmediate);
      abort.abort(reason);
      await expect(answer).rejects.toBe(reason);
      abort = new AbortController();
    }
    await settle();
    for (const { events } of guest.peers) expect(events).toEqual(["failed", "closed"]);
  });

  test("while the body is read, and while it is sent: the caller's stream is cancelled", async () => {
    for (const turns of [0, 5]) {
      const { body, write, writer } = openBody();
      const closed = writer.closed.catch((error) => error);
      const answer = start({ method: "PUT", body, duplex: "half" } as RequestInit);
      write("hello").catch(() => {});
      for (let i = 0; i < turns; i++) await new Promise(setImmediate);
      abort.abort(reason);
      await expect(answer).rejects.toBe(reason);
      expect(await closed).toBe(reason);
      abort = new AbortController();
    }
  });

  test("while the response is read errors its body", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello");
    const response = await start();
    abort.abort(reason);
    await expect(response.text()).rejects.toBe(reason);
    await settle();
    expect(peer().events).toEqual(["failed", "closed"]);
  });

  test("after the response changes nothing", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello");
    const response = await start();
    abort.abort(reason);
    expect(await response.text()).toBe("hello");
    await settle();
    expect(peer().events).toEqual([]);
  });
});
