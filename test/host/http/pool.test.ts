// Connections of fetch(): which are kept, how many there are, and when a request is sent again.
import { beforeEach, describe, expect, test } from "vitest";
import { answering, type HttpPeer, HttpPeers, settle } from "../../support/http-peer.ts";

const EMPTY = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const URL = "http://guest/";

let guest: HttpPeers;
beforeEach(() => {
  guest = new HttpPeers();
});
const fetch = (init?: RequestInit) => guest.client.fetch(URL, init);

describe("a connection is kept", () => {
  test("for one request after the other", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    for (let i = 0; i < 10; i++) expect(await (await fetch()).text()).toBe("ok");
    expect(guest.peers).toHaveLength(1);
  });

  test("once a streamed body has been read", async () => {
    guest.answer = answering("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    const response = await fetch();
    (guest.peers[0] as HttpPeer).send("2\r\nok\r\n0\r\n\r\n");
    expect(await response.text()).toBe("ok");
    await fetch();
    expect(guest.peers).toHaveLength(1);
  });

  test("for the next exchange: cancelling a body that has come touches nothing", async () => {
    guest.answer = (one) => {
      if (one.received.split("\r\n\r\n").length > 2) return;
      one.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n");
    };
    const first = await fetch();
    const [peer] = guest.peers as [HttpPeer];
    peer.send("hello");
    await settle();
    const second = fetch();
    await settle();
    await first.body?.cancel();
    peer.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    expect(await (await second).text()).toBe("ok");
    expect(guest.peers).toHaveLength(1);
  });

  test.each([
    ["the guest says close", "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"],
    ["the guest speaks HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"],
    ["bytes follow the response", `${EMPTY}x`],
  ])("unless %s", async (_, response) => {
    guest.answer = answering(response);
    await fetch();
    await fetch();
    expect(guest.peers).toHaveLength(2);
    await settle();
    expect((guest.peers[0] as HttpPeer).events).toContain("closed");
  });

  test("unless bytes come unasked, or the guest ends it", async () => {
    guest.answer = answering(EMPTY);
    for (const spoil of [(one: HttpPeer) => one.send("x"), (one: HttpPeer) => one.socket.end()]) {
      const before = guest.peers.length;
      await fetch();
      spoil(guest.peers.at(-1) as HttpPeer);
      await settle();
      await fetch();
      expect(guest.peers.length).toBe(before === 0 ? 2 : before + 1);
    }
  });

  test("by eight at most", async () => {
    guest.answer = () => {};
    const answers = Array.from({ length: 20 }, () => fetch());
    await settle();
    for (const one of guest.peers) one.send(EMPTY);
    await Promise.all(answers);
    await settle();
    expect(guest.peers.filter(({ events }) => !events.includes("closed"))).toHaveLength(8);
  });
});

describe("a kept connection that the guest has closed", () => {
  /** Serves one request, and drops the next one on the same connection. */
  const serveOnce = (one: HttpPeer) => {
    if (one.received.split("\r\n\r\n").length > 2) one.socket.reset();
    else if (one.received.endsWith("\r\n\r\n") || one.received.endsWith("body")) one.send(EMPTY);
  };

  test("costs a request that may be sent twice nothing", async () => {
    guest.answer = serveOnce;
    for (let i = 0; i < 3; i++) expect((await fetch()).status).toBe(200);
    expect((await fetch({ method: "PUT", body: "body" })).status).toBe(200);
    expect(guest.peers).toHaveLength(4);
  });

  test("fails a POST, which the guest may have carried out", async () => {
    guest.answer = serveOnce;
    await fetch();
    await expect(fetch({ method: "POST" })).rejects.toMatchObject({ code: "ECONNRESET" });
    expect(guest.peers).toHaveLength(1);
  });

  test("fails a request once a byte of the answer has come", async () => {
    guest.answer = (one) => {
      if (one.received.split("\r\n\r\n").length > 2) one.send("H");
      if (one.received.split("\r\n\r\n").length > 2) one.socket.end();
      else one.send(EMPTY);
    };
    await fetch();
    await expect(fetch()).rejects.toMatchObject({ code: "EPROTO" });
    expect(guest.peers).toHaveLength(1);
  });

  test("is not used by any request if that is known before", async () => {
    guest.answer = answering(EMPTY);
    await fetch();
    (guest.peers[0] as HttpPeer).socket.reset(); // its event has not arrived yet
    expect((await fetch({ method: "POST" })).status).toBe(200);
    expect(guest.peers).toHaveLength(2);
  });
});

describe("at most 64 connections", () => {
  test("carry any number of requests, in turn", async () => {
    guest.answer = () => {};
    const answers = Array.from({ length: 200 }, () => fetch());
    await settle();
    expect(guest.peers).toHaveLength(64);
    guest.answer = answering(EMPTY);
    for (const one of guest.peers) one.send(EMPTY);
    for (const answer of answers) expect((await answer).status).toBe(200);
    expect(guest.peers).toHaveLength(64);
  });

  test("are handed over to those who still want them", async () => {
    guest.answer = () => {};
    const abort = new AbortController();
    const outcomes = Array.from({ length: 66 }, (_, i) =>
      fetch(i === 64 ? { signal: abort.signal } : {}).then(
        ({ status }) => status,
        (error) => error.message,
      ),
    );
    await settle();
    guest.answer = (one) => {
      one.send(EMPTY);
      one.socket.end(); // in the moment that the next request gets the connection
    };
    for (const one of guest.peers) guest.answer(one);
    setImmediate(() => abort.abort(new Error("enough")));
    const all = await Promise.all(outcomes);
    expect(all.filter((one) => one === 200).length).toBeGreaterThanOrEqual(65);
    expect(all.every((one) => one === 200 || one === "enough")).toBe(true);
  });

  test("are replaced when they break while others wait", async () => {
    guest.answer = () => {};
    const answers = Array.from({ length: 65 }, () =>
      fetch().then(
        ({ status }) => status,
        () => 0,
      ),
    );
    await settle();
    guest.answer = answering(EMPTY);
    (guest.peers[0] as HttpPeer).socket.reset();
    await settle();
    for (const one of guest.peers.slice(1, 64)) one.send(EMPTY);
    expect((await Promise.all(answers)).filter((status) => status === 200)).toHaveLength(64);
    expect(guest.peers).toHaveLength(65);
  });

  test("let 1024 requests wait, which may be aborted", async () => {
    guest.answer = () => {};
    const abort = new AbortController();
    const outcomes = Array.from({ length: 64 + 1024 + 1 }, (_, i) =>
      fetch(i === 100 ? { signal: abort.signal } : {}).then(
        ({ status }) => status,
        (error) => error.code ?? error.message,
      ),
    );
    expect(await outcomes.at(-1)).toBe("EAGAIN");
    abort.abort(new Error("enough"));
    expect(await outcomes[100]).toBe("enough");
    await settle();
    guest.answer = answering(EMPTY);
    for (const one of guest.peers) one.send(EMPTY);
    const all = await Promise.all(outcomes);
    expect(all.filter((one) => one === 200)).toHaveLength(64 + 1023);
  });
});
