// The outcome that WebServer notes of each request: status, bytes of body sent, and why it ended.
import { utimesSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { AccessReason } from "../../../abi/access-log.ts";
import type { AccessSink } from "../../../host/access-log.ts";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

const HOST = "Host: x\r\n";

async function serveSite(wantsTexts = false) {
  const site = makeFolder();
  const put = (name: string, bytes: number) => {
    writeFileSync(`${site}/${name}`, "b".repeat(bytes));
    utimesSync(`${site}/${name}`, 1e9, 1e9);
  };
  for (const [name, bytes] of Object.entries({ small: 10, page: 20_000, large: 5 * MIB })) {
    put(name, bytes);
  }
  const noted: [status: number, bodyBytes: number, reason: AccessReason][] = [];
  const lengths: number[][] = [];
  let lostRecords = 0;
  let status = 0;
  const accessLog: AccessSink = {
    wantsTexts,
    whole: (head, bodyBytes, reason) => {
      noted.push([head.status, bodyBytes, reason]);
      lengths.push([...head.lengths]);
    },
    request: (head) => {
      status = head.status;
      lengths.push([...head.lengths]);
    },
    response: (_connection, bodyBytes, reason) => noted.push([status, bodyBytes, reason]),
    cut: () => {},
    lost: (records) => {
      lostRecords += records;
    },
  };
  const server = await serve(site, { accessLog, realtimeNs: BigInt(Date.now()) * 1_000_000n });
  const ask = (path: string, fields = "", method = "GET", client = new Client()) => {
    if (client.received === "") server.connect(client);
    client.events.data(Buffer.from(`${method} ${path} HTTP/1.1\r\n${HOST}${fields}\r\n`));
    server.settle();
    return client;
  };
  return { ...server, put, ask, noted, lengths, lost: () => lostRecords };
}

test.each([
  ["a body that is sent with its head", "/small", "", "GET"],
  ["one that follows it at once", "/page", "", "GET"],
  ["one that is read in pieces", "/large", "", "GET"],
  ["a part", "/large", "Range: bytes=5-1000004\r\n", "GET"],
  ["several parts", "/large", "Range: bytes=0-9,100-199,4000000-\r\n", "GET"],
  ["no body of HEAD", "/large", "", "HEAD"],
  ["none of 304", "/small", "If-None-Match: *\r\n", "GET"],
  ["none of 204", "/small", "", "OPTIONS"],
  ["a line of text", "/missing", "", "GET"],
  ["a line of text with an id in its head", "/missing", "X-Request-Id: a-b\r\n", "GET"],
  ["a line of text of a head that was refused", "/%zz", "", "GET"],
])("%s is counted whole", async (_, path, fields, method) => {
  const { ask, noted, machine } = await serveSite();
  const { received } = ask(path, fields, method);
  const [response] = parseResponses(received, method === "GET" ? [] : [0]);
  const bytes = received.length - received.indexOf("\r\n\r\n") - 4;
  expect(noted).toEqual([[response?.status, bytes, AccessReason.None]]);
  machine.dispose();
});

test("a host that only counts is given the method alone", async () => {
  const fields = "Referer: r\r\nUser-Agent: ua\r\nX-Request-Id: id1\r\nX-Forwarded-For: f\r\n";
  for (const [wanted, expected] of [
    [true, [3, 6, 1, 2, 1, 3, 1]],
    [false, [3, 0, 0, 0, 0, 0, 0]],
  ] as const) {
    const { ask, lengths, machine } = await serveSite(wanted);
    ask("/small", fields);
    expect(lengths).toEqual([expected]);
    machine.dispose();
  }
});

test("no request is lost where the ring begins again, with short and with long records", async () => {
  const { ask, noted, lost, machine } = await serveSite(true);
  const client = ask("/small");
  for (let i = 1; i < 400; i++) ask(`/small?${"q".repeat((i * 97) % 2000)}`, "", "GET", client);
  expect([noted.length, lost()]).toEqual([400, 0]);
  machine.dispose();
});

test("bytes that a client has taken before it leaves are counted, and that it has left", async () => {
  const { ask, noted, settle, machine } = await serveSite();
  const client = ask("/large", "", "GET", new Client(true));
  client.events.closed();
  settle();
  const [[status, bodyBytes, reason] = []] = noted;
  expect([status, reason]).toEqual([200, AccessReason.Gone]);
  expect(bodyBytes).toBeGreaterThan(0);
  expect(bodyBytes).toBeLessThan(5 * MIB);
  machine.dispose();
});

test("a file that has become shorter is the reason", async () => {
  const { ask, put, noted, settle, machine } = await serveSite();
  const client = ask("/large", "", "GET", new Client(true));
  put("large", 100);
  for (let i = 0; i < 100 && noted.length === 0; i++) {
    client.events.sent();
    settle();
  }
  expect(noted[0]?.[2]).toBe(AccessReason.File);
  machine.dispose();
});

test("a client that was cut for its pace is the reason", async () => {
  const { ask, noted, clock, settle, machine } = await serveSite();
  ask("/large", "", "GET", new Client(true));
  for (let second = 0; second < 120; second++) {
    clock.advance(1000);
    settle();
  }
  expect(noted[0]?.[2]).toBe(AccessReason.Slow);
  machine.dispose();
});
