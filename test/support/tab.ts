// Debian's Chromium as a peer, and a server of files for it: as plain as any host of static files,
// or with the headers that isolate a page.
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { extname, join, normalize } from "node:path";
import { build } from "esbuild";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { afterAll } from "vitest";
import { HANG_MS } from "./browser.ts";
import { witness } from "./outside-program.ts";

const TYPES: Readonly<Record<string, string>> = {
  ".css": "text/css",
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript",
  ".png": "image/png",
  ".svg": "image/svg+xml",
  ".wasm": "application/wasm",
};
const ISOLATION = {
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-embedder-policy": "require-corp",
  "cross-origin-resource-policy": "cross-origin",
};

let browser: Promise<Browser> | null = null;
const open: { close(): unknown }[] = [];

/** A test in Chromium; skipped by name where it is missing. */
export function inChromium(title: string, body: () => Promise<void>): void {
  witness("chromium", title, async () => {
    try {
      await body();
    } finally {
      for (const one of open.splice(0).reverse()) await one.close();
    }
  });
}

afterAll(async () => {
  await (await browser)?.close();
});

/** A profile of its own, until the test has ended. */
export async function newContext(options: object = {}): Promise<BrowserContext> {
  browser ??= chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await (await browser).newContext(options);
  context.setDefaultTimeout(HANG_MS);
  open.push(context);
  return context;
}

/** Files by path, before those of the folder. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

export interface FileServer {
  readonly port: number;
  readonly folder: string;
  readonly files: Files;
  readonly isIsolated: boolean;
}

/** Serves a folder below `/base/`, until the test has ended. */
export async function serveFiles({
  folder = "apps/web-server/site",
  files = {} as Files,
  isIsolated = false,
} = {}): Promise<string> {
  const server: Server = createServer((request, response) => {
    const { pathname } = new URL(request.url as string, "http://server/");
    const name = normalize(pathname)
      .replace(/^\/base\//, "")
      .replace(/(^|\/)$/, "$1index.html");
    try {
      const body = files[name] ?? readFileSync(join(folder, name));
      response.writeHead(200, {
        "content-type": TYPES[extname(name)] ?? "application/octet-stream",
        ...(isIsolated ? ISOLATION : {}),
      });
      response.end(body);
    } catch {
      response.writeHead(404).end("no such file");
    }
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  open.push({
    close: () => {
      server.closeAllConnections();
      return new Promise((resolve) => server.close(resolve));
    },
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}/base/`;
}

/** A file of test/support, bundled for a page that names what it exports `torito`. */
export async function bundlePage(entry: string): Promise<string> {
  const { outputFiles } = await build({
    entryPoints: [`test/support/${entry}`],
    bundle: true,
    platform: "browser",
    format: "iife",
    globalName: "torito",
    write: false,
  });
  return outputFiles[0]?.text ?? "";
}

/** A page at the Lab of a server, whose machine listens and whose site is shown. */
export async function openLab(context: BrowserContext, base: string, hash = ""): Promise<Page> {
  const page = await context.newPage();
  await page.goto(`${base}lab/${hash}`);
  await labShows(page);
  return page;
}

/** Waits until the Lab says that its site is shown, or why not. */
export async function labShows(page: Page): Promise<void> {
  await page.waitForFunction(() =>
    /^The site /.test(document.querySelector("#site-note")?.textContent ?? ""),
  );
}

/** The frame that shows the machine's site. */
export function siteFrame(page: Page) {
  const frame = page.frames().find((one) => one.url().includes("/machine/site/"));
  if (frame === undefined) throw new Error("no frame with the site");
  return frame;
}
