// The Service Worker's gateway without a browser: machines that are there, gone, full or silent.
import { afterEach, expect, test } from "vitest";
import { browserClock } from "../../../host/browser/clock.ts";
import { SILENCE_MS } from "../../../host/browser/dialler.ts";
import { Gateway } from "../../../host/browser/gateway.ts";
import { PortSocket } from "../../../host/browser/port-socket.ts";
import { Switchboards } from "../../../host/browser/switchboard.ts";
import { NOBODY } from "../../../host/ports/sockets.ts";
import { until } from "../../support/appliance.ts";

const ends: (() => void)[] = [];
afterEach(() => {
  for (const end of ends.splice(0)) end();
});

type Answer = (request: string) => string;

/** A guest that answers each request with what `answer` returns. */
function guest(answer: Answer) {
  const clients: PortSocket[] = [];
  const boards = new Switchboards((_port, client) => {
    const socket = new PortSocket(client, {
      ...NOBODY,
      data: (chunk) => {
        socket.send([new TextEncoder().encode(answer(new TextDecoder().decode(chunk)))]);
      },
    });
    clients.push(socket);
  });
  ends.push(() => {
    for (const one of clients) one.reset();
  });
  return boards;
}

const ok = (body: string, fields = "") =>
  `HTTP/1.1 200 OK\r\ncontent-length: ${body.length}\r\n${fields}\r\n${body}`;

function gateway(boards: Switchboards | null, isIsolated = false) {
  let asked = 0;
  const made: Gateway = new Gateway(browserClock, (machine) => {
    asked++;
    if (boards === null) return;
    const { port1, port2 } = new MessageChannel();
    ends.push(() => port1.close());
    boards.add(port1);
    made.offered({ torito: "offer", machine, isIsolated }, port2);
  });
  const get = (path: string, init: RequestInit = {}) =>
    made.fetch("m", "/site/m/", path, new Request(`http://host/site/m${path}`, init));
  return { get, made, asks: () => asked };
}

test("a request goes to the machine that a page offers, with its fields, on a kept connection", async () => {
  const requests: string[] = [];
  const { get, asks } = gateway(
    guest((request) => {
      requests.push(request);
      return ok("hello");
    }),
  );
  const headers = { range: "bytes=1-2", "if-none-match": '"x"', accept: "text/html" };
  expect(await (await get("/a?b=c", { headers })).text()).toBe("hello");
  expect((await get("/again")).status).toBe(200);
  expect(requests[0]).toMatch(/^GET \/a\?b=c HTTP\/1\.1\r\nhost: host\r\n/);
  expect(requests[0]).toMatch(/\r\nrange: bytes=1-2\r\n/);
  expect(requests[0]).toMatch(/\r\nif-none-match: "x"\r\n/);
  expect([requests.length, asks()]).toEqual([2, 1]);
});

test("pages are asked no more once one has the machine", async () => {
  const { get, asks } = gateway(guest(() => ok("")));
  await get("/");
  await new Promise((resolve) => browserClock.after(300, () => resolve(null)));
  expect(asks()).toBe(1);
});

test("a body is sent along", async () => {
  const { get } = gateway(guest((request) => ok(request.slice(-5))));
  const response = await get("/", { method: "POST", body: "12345" });
  expect(await response.text()).toBe("12345");
});

test("a redirect within the machine stays within its site, one to elsewhere is left alone", async () => {
  const to = (location: string) => () =>
    `HTTP/1.1 301 Moved Permanently\r\nlocation: ${location}\r\ncontent-length: 0\r\n\r\n`;
  const within = await gateway(guest(to("/img/?a=b"))).get("/img");
  expect(within.headers.get("location")).toBe("/site/m/img/?a=b");
  const away = await gateway(guest(to("https://example.com/"))).get("/img");
  expect(away.headers.get("location")).toBe("https://example.com/");
});

test("BR9 a frame of an isolated page says that it agrees", async () => {
  const field = async (isIsolated: boolean) => {
    const answer = await gateway(
      guest(() => ok("")),
      isIsolated,
    ).get("/");
    return answer.headers.get("cross-origin-embedder-policy");
  };
  expect([await field(true), await field(false)]).toEqual(["require-corp", null]);
});

test("BR7 503 if no page has the machine, after it was asked for repeatedly", async () => {
  const { get, asks } = gateway(null);
  const response = await get("/");
  expect(response.status).toBe(503);
  expect(await response.text()).toContain("No tab of this browser has the machine.");
  expect(asks()).toBeGreaterThan(3);
});

test("BR7 requests for names without end get 503, and later ones find their machine", async () => {
  const names: string[] = [];
  const made = new Gateway(browserClock, (machine) => names.push(machine));
  const get = (machine: string) =>
    made.fetch(machine, `/${machine}/`, "/", new Request(`http://host/${machine}/`));
  const many = await Promise.all(Array.from({ length: 200 }, (_, i) => get(`m${i}`)));
  expect(many.filter(({ status }) => status === 503)).toHaveLength(200);
  expect(new Set(names).size).toBe(64);
  const { port1, port2 } = new MessageChannel();
  ends.push(() => port1.close());
  guest(() => ok("hello")).add(port1);
  made.offered({ torito: "offer", machine: "m1", isIsolated: false }, port2);
  expect((await get("m1")).status).toBe(200);
});

test("BR7 503 if the machine is silent, whose Worker was terminated", async () => {
  const { port1, port2 } = new MessageChannel(); // nobody listens on port1
  ends.push(() => port1.close());
  const { get, made } = gateway(null);
  made.offered({ torito: "offer", machine: "m", isIsolated: false }, port2);
  expect((await get("/")).status).toBe(503);
});

test("a machine that has answered is there, however long the asker's own loop was busy", async () => {
  const { get, asks } = gateway(guest(() => ok("hello")));
  await get("/");
  await new Promise((resolve) => browserClock.after(300, () => resolve(null))); // until it is asked
  await new Promise((resolve) => setImmediate(resolve)); // then timers are first, and then messages
  const answer = get("/");
  const untilNs = browserClock.now() + 2 * SILENCE_MS * 1e6;
  while (browserClock.now() < untilNs) {}
  expect((await answer).status).toBe(200);
  expect(asks()).toBe(1);
});

test("BR8 502 with the reason once the machine has ended", async () => {
  const boards = guest(() => ok("hello"));
  const { get } = gateway(boards);
  expect((await get("/")).status).toBe(200);
  boards.end("panic: <the fourth wheel>\n    at apps/a.ts:1:2");
  await until(async () => (await get("/")).status === 502);
  const response = await get("/");
  expect(await response.text()).toContain("panic: <the fourth wheel>\n    at apps/a.ts:1:2");
});

test("502 if the guest breaks the protocol", async () => {
  const response = await gateway(guest(() => "nonsense\r\n\r\n")).get("/");
  expect(response.status).toBe(502);
  expect(await response.text()).toContain("malformed response");
});

test("a request that is aborted rejects", async () => {
  const controller = new AbortController();
  const { get } = gateway(guest(() => ""));
  const answer = get("/", { signal: controller.signal });
  await Promise.resolve();
  controller.abort();
  await expect(answer).rejects.toThrow("abort");
});
