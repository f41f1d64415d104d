// Connections that the guest gives up (AL4): the reason that it notes, which is counted, said in
// the service's log, and stands in the line of a response that was under way.
import { writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { AccessReason } from "../../../abi/access-log.ts";
import { AccessLog } from "../../../host/cli/service/access-log.ts";
import { readCounters } from "../../../host/counters.ts";
import type { Log } from "../../../host/log.ts";
import { reasonName } from "../../../host/service/access-line.ts";
import { RequestCounters } from "../../../host/service/request-counters.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { Client, MIB, type Options, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

async function serveSite(options: Options = {}) {
  const site = makeFolder();
  writeFileSync(`${site}/large`, "l".repeat(5 * MIB));
  writeFileSync(`${site}/small`, "s".repeat(1000));
  const counters = new RequestCounters();
  const said: string[] = [];
  const settings = { path: null, format: "combined", anonymize: false, proxies: [] } as const;
  const say: Log = (level, part, message) => {
    said.push(`${level} ${part} ${message}`);
  };
  const log = new AccessLog(settings, counters, say, () => null);
  const server = await serve(site, { ...options, accessLog: log.sink(() => "192.0.2.7") });
  /** By reason, without those that are 0. */
  const named = (counts: readonly number[]) =>
    Object.fromEntries(
      counts
        .map((count, i) => [reasonName(i), count])
        .filter(([name, n]) => name !== "" && n !== 0),
    );
  const cut = () => named(counters.cut);
  const aborted = () => named(counters.aborted);
  const pass = (seconds: number) => {
    for (let i = 0; i < seconds; i++) {
      server.clock.advance(1000);
      server.settle();
    }
  };
  return { ...server, said, cut, aborted, pass };
}

test("AL4 slow: a client that takes too little of an answer", async () => {
  const server = await serveSite();
  server.connect(new Client(true)).get("/large");
  server.pass(120);
  expect([server.cut(), server.aborted()]).toEqual([{ slow: 1 }, { slow: 1 }]);
  expect(server.said).toEqual(["warn http cut 192.0.2.7: slow"]);
  server.machine.dispose();
});

test("AL4 memory: the response that is stalled, and then idle connections", async () => {
  const server = await serveSite({ memoryBytes: 2 * MIB });
  server.connect(new Client(true)).get("/large");
  server.pass(3);
  let clients = 0;
  for (; server.cut().memory === undefined && clients < 2000; clients++) {
    server.connect(new Client());
  }
  server.settle();
  expect([server.cut(), server.aborted()]).toEqual([{ memory: 1 }, { memory: 1 }]);
  expect(server.said).toEqual(["warn http cut 192.0.2.7: memory"]);
  for (; server.cut().memory === 1 && clients < 4000; clients++) {
    server.connect(new Client());
    if (clients % 20 === 0) server.pass(1);
  }
  expect(server.cut().memory).toBeGreaterThan(1);
  expect(server.aborted()).toEqual({ memory: 1 }); // an idle connection has no response
  server.machine.dispose();
});

test("AL4 idle: a client that asks for nothing, and one that asks for nothing more", async () => {
  const server = await serveSite();
  server.connect(new Client());
  server.connect(new Client()).get("/small");
  server.pass(20);
  expect([server.cut(), server.aborted()]).toEqual([{ idle: 2 }, {}]);
  expect(server.said).toEqual([]); // they end by the hundred, and nobody minds
  server.machine.dispose();
});

test("AL4 head and protocol: a head that does not end, and one that nobody understands", async () => {
  const server = await serveSite();
  const slow = server.connect(new Client());
  slow.events.data(Buffer.from("GET / HTTP/1.1\r\nHost:"));
  server.pass(12);
  const odd = server.connect(new Client());
  odd.events.data(Buffer.from("ODD\r\n\r\n"));
  server.settle();
  expect(server.cut()).toEqual({ head: 1, protocol: 1 });
  expect(server.said).toEqual([
    "warn http cut 192.0.2.7: head",
    "warn http cut 192.0.2.7: protocol",
  ]);
  expect(AccessReason.Kinds).toBe(8);
  server.machine.dispose();
});

test("the cache is shown: what was found in it and what not, and what it holds", async () => {
  const server = await serveSite();
  const shown = () =>
    Object.fromEntries(
      readCounters(server.machine.memory).map(({ name, label, value }) => [
        label === null ? name : `${name} ${label.value}`,
        value,
      ]),
    );
  expect(shown()).toEqual({
    "cache_requests_total hit": 0,
    "cache_requests_total miss": 0,
    cache_evictions_total: 0,
    cache_entries: 0,
    cache_bytes: 0,
  });
  for (let i = 0; i < 3; i++) server.connect(new Client()).get("/small");
  const { cache_bytes: bytes, ...others } = shown();
  expect(others).toEqual({
    "cache_requests_total hit": 2,
    "cache_requests_total miss": 1,
    cache_evictions_total: 0,
    cache_entries: 1,
  });
  expect(bytes).toBeGreaterThan(1000);
  expect(bytes).toBeLessThan(4000);
  server.machine.dispose();
});
