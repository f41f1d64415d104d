// A machine in a Worker of a page: the image that Node runs, its clients, and those that are slow
// or hostile.
import { readFileSync } from "node:fs";
import type { Page } from "playwright-core";
import { beforeAll, expect } from "vitest";
import { writeTar } from "../../tools/tar.mjs";
import { compileOnce } from "../support/compiled.ts";
import { bundlePage, inChromium, newContext, serveFiles } from "../support/tab.ts";
import type * as Torito from "../support/tab-page.ts";

declare const torito: typeof Torito;

const PAGE = '<!doctype html><title>test</title><script src="page.js"></script>';
const BIG = Buffer.alloc(2_000_000, "0123456789");
let script: string;

beforeAll(async () => {
  script = await bundlePage("tab-page.ts");
});

async function openPage(files: Record<string, string | Uint8Array> = {}): Promise<Page> {
  const base = await serveFiles({
    files: {
      "test.html": PAGE,
      "page.js": script,
      "web-server.wasm": readFileSync("build/web-server.wasm"),
      "site.tar": writeTar({ "index.html": Buffer.from("hello"), "big.txt": BIG }),
      ...files,
    },
  });
  const page = await (await newContext()).newPage();
  await page.goto(`${base}test.html`);
  return page;
}

inChromium("BR3 the image that Node runs boots in a tab and answers, byte for byte", async () => {
  const image = "apps/web-server/site/lab/machine/web-server.wasm";
  expect(readFileSync(image).equals(readFileSync("build/web-server.wasm"))).toBe(true);
  const page = await openPage();
  const answer = await page.evaluate(async () => {
    const machine = await torito.bootWorker();
    const response = await machine.fetch("http://torito/big.txt");
    const bytes = new Uint8Array(await response.arrayBuffer());
    const wrong = bytes.findIndex((byte, i) => byte !== 0x30 + (i % 10));
    return { status: response.status, length: bytes.length, wrong };
  });
  expect(answer).toEqual({ status: 200, length: BIG.length, wrong: -1 });
});

inChromium("BR3 tests of the guest pass in a tab as they do on Node", async () => {
  const files: Record<string, Uint8Array> = {};
  for (const name of ["memory", "basics", "net"]) {
    const { wasm } = await compileOnce(`test/guest/${name}.ts`, "test", { kind: "calls" });
    files[`${name}.wasm`] = wasm;
  }
  const page = await openPage(files);
  const results = await page.evaluate(async (names) => {
    const found: [string, string][] = [];
    for (const image of names) {
      const module = new WebAssembly.Module(await (await fetch(image)).arrayBuffer());
      for (const { name } of WebAssembly.Module.exports(module)) {
        if (name.startsWith("test_")) found.push([name, await torito.runGuestTest(module, name)]);
      }
    }
    return found;
  }, Object.keys(files));
  expect(results.length).toBeGreaterThan(20);
  expect(results.filter(([, failure]) => failure !== "")).toEqual([]);
});

inChromium(
  "BR6 a reader that stops gets no more than its window, and 100 stop no other",
  async () => {
    const page = await openPage();
    const { most, least, other } = await page.evaluate(async () => {
      const machine = await torito.bootWorker();
      const deaf = Array.from({ length: 100 }, () => new torito.DeafClient(machine, "/big.txt"));
      while (deaf.some(({ bytes }) => bytes < 100_000))
        await new Promise((go) => setTimeout(go, 10));
      const response = await machine.fetch("http://torito/big.txt");
      const other = (await response.arrayBuffer()).byteLength;
      const bytes = deaf.map((one) => one.bytes);
      return { most: Math.max(...bytes), least: Math.min(...bytes), other };
    });
    expect(other).toBe(BIG.length);
    expect(most).toBeLessThanOrEqual(256 * 1024);
    expect(least).toBeGreaterThan(0);
  },
);

inChromium(
  "hostile ports, and 10,000 that say nothing, leave the machine to the others",
  async () => {
    const page = await openPage();
    const { resets, texts, answer } = await page.evaluate(async () => {
      const machine = await torito.bootWorker();
      const nonsense = [
        "text",
        Number.NaN,
        -1,
        1e300,
        1,
        null,
        {},
        [1, 2],
        new Uint8Array(0),
        new Uint8Array(300_000),
        new Uint8Array(new ArrayBuffer(1 << 20), 0, 1),
      ];
      const resets = nonsense.map((message) => {
        const port = machine.connect(80);
        port.postMessage(message);
        return new Promise((resolve) => {
          port.onmessage = ({ data }) => resolve(data);
        });
      });
      const board = machine.switchboard();
      for (const message of [
        null,
        "x",
        { connect: "80" },
        { connect: -1 },
        { connect: 1e300 },
        {},
      ]) {
        board.postMessage(message, [new MessageChannel().port1]);
        board.postMessage(message);
      }
      const texts = await Promise.all(resets);
      const silent = Array.from({ length: 10_000 }, () => machine.connect(80));
      for (const port of silent) port.postMessage("reset");
      // Ports are not ordered among each other: until theirs have spoken the table is full, and a
      // further client is refused.
      const ask = () =>
        torito.ask(machine, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
      let answer = await ask();
      while (answer === "the peer reset the connection") answer = await ask();
      return { resets: resets.length, texts, answer };
    });
    expect(texts).toEqual(Array.from({ length: resets }, () => "reset"));
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\n\r\nhello$/s);
  },
);

inChromium(
  "10,000 silent ports that stay open fill the table, and clients are served once they leave",
  async () => {
    const page = await openPage();
    const answer = await page.evaluate(async () => {
      const machine = await torito.bootWorker();
      const held = Array.from({ length: 10_000 }, () => machine.connect(80));
      const first = await torito.ask(
        machine,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
      );
      for (const port of held) port.postMessage("reset");
      const then = await torito.ask(
        machine,
        "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n",
      );
      return { first, then };
    });
    expect(answer.first).toMatch(/^(HTTP\/1\.1 200 OK\r\n|the peer reset)/);
    expect(answer.then).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  },
);

inChromium("BR7 a Worker that is terminated fails what is under way", async () => {
  const page = await openPage();
  const messages = await page.evaluate(async () => {
    const machine = await torito.bootWorker();
    const response = await machine.fetch("http://torito/big.txt");
    machine.terminate();
    const reason = (error: Error) => error.message;
    return [
      await response.text().then(() => "all of it", reason),
      await machine.fetch("http://torito/").then(() => "answered", reason),
      await machine.pause().then(() => "paused", reason),
    ];
  });
  expect(messages).toEqual([
    expect.stringContaining("fetch"),
    expect.stringContaining("fetch"),
    "the Worker was terminated",
  ]);
});

inChromium(
  "BR8 a machine that panics says so, with file and line; an image that fits not, too",
  async () => {
    const { wasm } = await compileOnce("test/guest/panic.ts", "release", {});
    const page = await openPage({ "panic.wasm": wasm, "bad.wasm": "no image" });
    const { ended, refused } = await page.evaluate(async () => {
      const machine = await torito.bootWorker("panic.wasm");
      const refused = await torito.bootWorker("bad.wasm").catch((error: Error) => error.message);
      return { ended: torito.endText(await machine.exited), refused };
    });
    expect(ended).toMatch(/^panic: .+\n {4}at .*panic\.ts:\d+:\d+$/);
    expect(refused).toContain("image");
  },
);

inChromium("a page pauses its machine, steps it and sees it", async () => {
  const page = await openPage();
  const seen = await page.evaluate(async () => {
    const machine = await torito.bootWorker();
    let paused: unknown = null;
    const events = new Set<string>();
    const end = machine.watch({
      view: (view) => {
        if (view.state === "paused") paused = view;
      },
      events: (list) => {
        for (const { name } of list) events.add(name);
      },
      connected() {},
    });
    await machine.pause();
    const answer = machine.fetch("http://torito/");
    while (paused === null) await new Promise((go) => setTimeout(go, 10));
    await machine.step("turn");
    const again = await machine.step("thread").then(
      () => "stepped",
      (error: Error) => error.message,
    );
    await machine.resume();
    const body = await (await answer).text();
    while (!events.has("RW from guest")) await new Promise((go) => setTimeout(go, 10));
    end();
    return { body, again, heap: (await machine.heapMap()) !== null, events: [...events] };
  });
  expect(seen).toMatchObject({ body: "hello", again: expect.any(String), heap: true });
  // The inspector has brought along what devices tell.
  expect(seen.events).toEqual(
    expect.arrayContaining(["REQUEST to guest", "RW to guest", "LOOKUP", "READ"]),
  );
});
