// WebServer on a clock that stands still, with scripted clients: what depends on the moment.
import { renameSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { Files } from "../../../host/ports/files.ts";
import { makeFolder, parseResponses, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

test("a client that takes a little now and then gets all of it, one that takes nothing is left", async () => {
  const site = makeFolder();
  writeFileSync(`${site}/page`, "p".repeat(200_000));
  const { clock, connect, machine } = await serve(site, { bufAlloc: 16384 });
  const slow = connect(new Client(true));
  const dead = connect(new Client(true));
  slow.get("/page");
  dead.get("/page");
  // The send time-out is 60 s; one window after the other takes minutes.
  for (let i = 0; i < 20; i++) {
    clock.advance(40_000);
    slow.events.sent();
  }
  expect(parseResponses(slow.received)[0]!.body).toBe("p".repeat(200_000));
  expect(dead.left).toBe(true);
  machine.dispose();
});

/** Files where `name` gives way to `next` when it is looked up for the second time. */
function replacing(path: string): Files {
  const files = hostFiles();
  let looks = 0;
  const peek = files.peek.bind(files);
  files.peek = (directory, name) => {
    if (++looks === 2) renameSync(`${path}.next`, path);
    return peek(directory, name);
  };
  return files;
}

test.each([
  ["cached", 1000],
  ["streamed", 300_000],
])(
  "a %s file that is replaced between look-up and opening is sent whole, as what it is",
  async (_, size) => {
    const site = makeFolder();
    writeFileSync(`${site}/file`, "a".repeat(size));
    writeFileSync(`${site}/file.next`, "b".repeat(size + 1));
    const { connect, machine } = await serve(site, { files: replacing(`${site}/file`) });
    const client = connect(new Client());
    client.get("/file");
    const [response] = parseResponses(client.received);
    expect(response!.status).toBe(200);
    expect(response!.headers.get("etag")).toMatch(new RegExp(`-${(size + 1).toString(16)}"$`));
    expect(response!.body).toBe("b".repeat(size + 1));
    machine.dispose();
  },
);
