// A host that hands WebServer a faulty table of settings: it is refused as a whole, or means
// something else, and never makes the guest read or write beyond it.
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { SITE_TABLE_BYTES_MAX, SiteTable } from "../../../../abi/site.ts";
import { FsDevice, MemoryFiles, VsockDevice } from "../../../../host/node/devices.ts";
import { Machine } from "../../../../host/node/machine.ts";
import { compileSite } from "../../../../host/site/compile.ts";
import { SITE_PRESETS } from "../../../../host/site/settings.ts";
import { exchange, parseAnswer, requestText } from "../../../support/site-guest.ts";

const image = new Uint8Array(readFileSync("build/web-server.wasm"));
const settings = {
  ...SITE_PRESETS,
  fallback: "/index.html",
  cors: ["https://a.example", "https://b.example"],
  types: { ts: "text/plain", x: "text/x" },
};
const HEADERS = "/a\n  X-A: 1\n  X-B: 2\n/a/*\n  X-A: 3\n/:x/y\n  X-C: 4\n/b\n  X-A: 5\n";
const REDIRECTS =
  "/old /new\n/old2 /a 200!\n/s/*  /:splat\n/q id=:id k=v /i/:id\n/:a/:b /:b/:a 302\n/l/* /x 404\n";
const good = compileSite(settings, HEADERS, REDIRECTS).table;

let machine: Machine;
let port = 0;
let console = "";
const files = new MemoryFiles({ site: good });
const site = new MemoryFiles({ "index.html": "home", a: "file a" });

beforeAll(async () => {
  const vsock = new VsockDevice();
  const of = (tag: string, content: MemoryFiles) =>
    new FsDevice({ directory: "/", tag, files: content, attrTimeoutMs: 0 });
  machine = await Machine.create({
    image,
    devices: [vsock, of("site", site), of("settings", files)],
    console: (text) => {
      console += text;
    },
  });
  port = (await vsock.publish({ port: 0, guestPort: 80 })).port;
  machine.boot();
  await vsock.probe(80);
});
afterAll(() => machine.dispose());

const PATHS = ["/a", "/a/y", "/old", "/s/x", "/q?id=1&k=v", "/x/y", "/l/x", "/none", "/f.ts"];

/** Gives the guest a table, and asks for something of everything. Was it refused? */
async function refuses(table: Uint8Array): Promise<boolean> {
  files.writeFile("site", table);
  machine.control.settingsChanged();
  console = "";
  for (const path of PATHS) {
    const text = requestText(path, ["Origin: https://a.example"], "GET");
    const { status } = parseAnswer(await exchange(port, text));
    expect([200, 206, 301, 302, 303, 307, 308, 404, 414, 500]).toContain(status);
  }
  expect(machine.ended).toBe(false);
  return console.includes("the settings cannot be read");
}

/** A copy in which `change` has happened. */
function changed(change: (view: DataView) => void): Uint8Array {
  const copy = good.slice();
  change(new DataView(copy.buffer));
  return copy;
}

test("the table as it was compiled is taken", async () => {
  expect(await refuses(good)).toBe(false);
  const text = requestText("/a", [], "GET");
  expect(parseAnswer(await exchange(port, text)).one("x-a")).toBe("1");
});

describe("a table is refused, and the last one stays, if", () => {
  test.each([
    ["it is empty", new Uint8Array(0)],
    ["it is shorter than its head", good.slice(0, SiteTable.sizeof - 1)],
    ["it ends early", good.slice(0, -1)],
    ["it goes on", new Uint8Array([...good, 0])],
    ["it is another thing", changed((view) => view.setUint32(SiteTable.magic, 1, true))],
    ["it is of another version", changed((view) => view.setUint32(SiteTable.version, 2, true))],
    ["it is too large", new Uint8Array(SITE_TABLE_BYTES_MAX + 1)],
    ["a header would break its line", breakLine()],
  ])("%s", async (_, table) => {
    await refuses(good);
    expect(await refuses(table)).toBe(true);
    const text = requestText("/old", [], "GET");
    expect(parseAnswer(await exchange(port, text)).one("location")).toBe("/new");
  });
});

/** A line feed in place of the value `4`. */
function breakLine(): Uint8Array {
  const name = Buffer.from(good).indexOf("X-C");
  return changed((view) => view.setUint8(name + 3, 10));
}

test("every word of it may be anything", async () => {
  let refused = 0;
  for (let at = 0; at + 4 <= good.length; at += 4) {
    for (const value of [0xffffffff, good.length, 3]) {
      if (await refuses(changed((view) => view.setUint32(at, value, true)))) refused++;
    }
  }
  expect(refused).toBeGreaterThan(good.length / 4);
  expect(await refuses(good)).toBe(false);
});
