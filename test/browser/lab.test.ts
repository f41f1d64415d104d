// The Lab in Chromium, served as files by a plain server: the site of the machine through the
// Service Worker, and what the page says when something is missing.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { Frame, Page } from "playwright-core";
import { expect } from "vitest";
import { readFolder } from "../../tools/tar.mjs";
import { start } from "../support/command.ts";
import { compileOnce } from "../support/compiled.ts";
import {
  inChromium,
  labShows,
  newContext,
  openLab,
  serveFiles,
  siteFrame,
} from "../support/tab.ts";

const SITE = "apps/web-server/site";
const IMAGE = "img/torito.png";
const files = readFolder(SITE, (path) => path === "lab" || path.startsWith("_"));

interface Asked {
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Status, fields and the hash of a body, as a script of the site gets them. */
function get(frame: Frame, path: string, init: Asked = {}) {
  return frame.evaluate(
    async ([path, init]) => {
      const response = await fetch(path, init);
      const body = await response.arrayBuffer();
      const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
      return {
        status: response.status,
        fields: Object.fromEntries(response.headers),
        length: body.byteLength,
        hash: Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join(""),
        text: body.byteLength < 4096 ? new TextDecoder().decode(body) : "",
      };
    },
    [path, init] as const,
  );
}

const hashOf = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");

async function lab(options: { isIsolated?: boolean; files?: Record<string, Uint8Array> } = {}) {
  const base = await serveFiles(options);
  const context = await newContext();
  return { base, context, page: await openLab(context, base) };
}

const textOf = (page: Page, id: string) => page.locator(`#${id}`).textContent();

inChromium(
  "BR4 every file of the sample site comes through the Service Worker as it is",
  async () => {
    const { page } = await lab();
    const frame = siteFrame(page);
    expect(await frame.title()).toContain("torito");
    for (const [path, content] of Object.entries(files)) {
      const { status, hash } = await get(frame, path);
      expect({ path, status, hash }).toEqual({ path, status: 200, hash: hashOf(content) });
    }
  },
);

inChromium("BR4 ranges, validators, HEAD and redirects are the machine's", async () => {
  const { page } = await lab();
  const frame = siteFrame(page);
  const whole = files[IMAGE] as Uint8Array;
  const part = await get(frame, IMAGE, { headers: { range: "bytes=1000-1999" } });
  expect(part).toMatchObject({ status: 206, hash: hashOf(whole.subarray(1000, 2000)) });
  const { fields } = await get(frame, IMAGE, { method: "HEAD" });
  expect(fields).toMatchObject({ "content-length": `${whole.length}`, server: "torito" });
  const known = await get(frame, IMAGE, { headers: { "if-none-match": fields.etag as string } });
  expect(known).toMatchObject({ status: 304, length: 0 });
  const gone = await get(frame, "no-such-file");
  expect(gone.status).toBe(404);
  const moved = await frame.evaluate(async () => (await fetch("img")).url);
  expect(moved).toMatch(/\/machine\/site\/[\w-]+\/img\/$/);
  const aborted = await frame.evaluate(async (path) => {
    const controller = new AbortController();
    const response = await fetch(path, { signal: controller.signal });
    controller.abort();
    return response.text().then(
      () => "all",
      (error: Error) => error.name,
    );
  }, IMAGE);
  expect(aborted).toBe("AbortError");
  expect((await get(frame, IMAGE)).hash).toBe(hashOf(whole));
});

inChromium(
  "BR5 a Service Worker that is stopped by force under load finds its machine again",
  async () => {
    const { page, context } = await lab();
    const frame = siteFrame(page);
    const session = await context.newCDPSession(page);
    const stopped = new Set<string>();
    session.on("ServiceWorker.workerVersionUpdated", ({ versions }) => {
      for (const one of versions) if (one.runningStatus === "stopped") stopped.add(one.versionId);
    });
    await session.send("ServiceWorker.enable");
    const load = frame.evaluate(
      async ([path, hash]) => {
        const counts = { right: 0, wrong: 0, failed: 0 };
        const one = async (i: number) => {
          try {
            const body = await (await fetch(`${path}?${i}`)).arrayBuffer();
            const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", body));
            const own = Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
            counts[own === hash ? "right" : "wrong"]++;
          } catch {
            counts.failed++;
          }
        };
        for (let i = 0; i < 40; i++) await Promise.all([one(i), one(i + 1000), one(i + 2000)]);
        return counts;
      },
      [IMAGE, hashOf(files[IMAGE] as Uint8Array)] as const,
    );
    for (let i = 0; i < 4; i++) {
      await session.send("ServiceWorker.stopAllWorkers");
      // The request after the stop is answered.
      expect((await get(frame, "small.html")).status).toBe(200);
    }
    const { right, wrong, failed } = await load;
    expect(wrong).toBe(0);
    expect(right + failed).toBe(120);
    expect(right).toBeGreaterThan(100);
    expect(stopped.size).toBeGreaterThan(0);
  },
);

inChromium(
  "BR7 when the tab of the machine reloads or closes, requests for its site end",
  async () => {
    const { page, context, base } = await lab();
    const site = siteFrame(page).url();
    const other = await context.newPage();
    await other.goto(site);
    expect(await other.title()).toContain("torito");
    await page.reload();
    await labShows(page);
    expect((await get(other.mainFrame(), IMAGE)).status).toBe(503);
    await other.goto(site);
    expect(await other.locator("h1").textContent()).toBe("There is no machine");
    // The new machine of the first tab has another site, which is served.
    expect((await get(siteFrame(page), IMAGE)).status).toBe(200);
    await other.goto(siteFrame(page).url());
    // The browser ends the machine's Worker a moment after its page: an answer until then is whole.
    await page.close();
    await expect
      .poll(async () => (await get(other.mainFrame(), IMAGE)).status, { timeout: 30_000 })
      .toBe(503);
    expect(base).toContain("/base/");
  },
);

inChromium("BR7 two tabs have two machines, each of which serves its own frame", async () => {
  const { page, context, base } = await lab();
  const second = await openLab(context, base);
  await page.getByRole("button", { name: "Pause" }).click();
  const waiting = get(siteFrame(page), IMAGE);
  expect((await get(siteFrame(second), IMAGE)).status).toBe(200);
  await page.getByRole("button", { name: "Run" }).click();
  expect((await waiting).status).toBe(200);
});

inChromium(
  "BR7 a Worker that is terminated under load and booted again serves the same site",
  async () => {
    const { page, context } = await lab();
    const other = await context.newPage();
    await other.goto(siteFrame(page).url());
    const load = other.evaluate((path) => {
      const answers = Array.from({ length: 50 }, async (_, i) => {
        const response = await fetch(`${path}?${i}`);
        return response.arrayBuffer().then(
          () => response.status,
          () => 0,
        );
      });
      return Promise.all(answers);
    }, IMAGE);
    await page.locator("#boot").click();
    for (const status of await load) expect([0, 200, 502, 503]).toContain(status);
    await page.getByText(/booted in/).waitFor();
    expect((await get(other.mainFrame(), IMAGE)).status).toBe(200);
  },
);

inChromium(
  "BR8 a panic is shown with file and line, and its site answers 502 with the text",
  async () => {
    const { wasm } = await compileOnce("test/guest/panic.ts", "release", {});
    const { page } = await lab({ files: { "lab/machine/web-server.wasm": wasm } });
    expect(await textOf(page, "reason")).toMatch(
      /^panic: the fourth wheel\n {4}at .*panic\.ts:\d+/,
    );
    expect(await page.getByRole("alert").isVisible()).toBe(true);
    const frame = siteFrame(page);
    expect(await frame.locator("pre").textContent()).toContain("panic: the fourth wheel");
    const answer = await get(frame, "index.html");
    expect(answer).toMatchObject({ status: 502 });
    expect(answer.text).toMatch(/panic\.ts:\d+/);
  },
);

inChromium("BR9 without isolation all works but the fine clock, and the page says so", async () => {
  const { page } = await lab();
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(false);
  expect(await textOf(page, "isolation")).toContain("not cross-origin isolated");
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByText("paused", { exact: true }).waitFor();
  await page.getByRole("button", { name: "Step turn" }).click();
  await page.getByRole("button", { name: "Run" }).click();
  await page.locator("#send-many").click();
  await page.waitForFunction(() =>
    /^16 × 200/.test(document.querySelector("#answer")?.textContent ?? ""),
  );
});

inChromium("BR9 with isolation the clock is fine, and the site is shown as well", async () => {
  const { page } = await lab({ isIsolated: true });
  expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
  expect(await textOf(page, "isolation")).toContain("5 µs");
  expect((await get(siteFrame(page), IMAGE)).status).toBe(200);
});

inChromium(
  "BR9 torito itself serves the Lab, isolated, by the rules of the sample site",
  async () => {
    const command = start("serve", SITE, "-p", "0:80");
    try {
      const [, base = ""] = await command.until(/ready in .*(http:\S+)/);
      const page = await openLab(await newContext(), base);
      expect(await page.evaluate(() => crossOriginIsolated)).toBe(true);
      expect((await get(siteFrame(page), IMAGE)).hash).toBe(hashOf(files[IMAGE] as Uint8Array));
    } finally {
      command.child.kill("SIGINT");
      await command.end;
    }
  },
);

inChromium("the site has an origin of its own, and reaches nothing of the Lab", async () => {
  const { page } = await lab();
  const frame = siteFrame(page);
  expect(new URL(page.url()).hostname).toBe("torito.localhost");
  expect(new URL(frame.url()).hostname).toBe("site.torito.localhost");
  const reached = await frame.evaluate(() => {
    try {
      return top?.document.title;
    } catch (error) {
      return (error as Error).name;
    }
  });
  expect(reached).toBe("SecurityError");
  expect(await textOf(page, "site-note")).toContain("an origin of its own");
});

inChromium(
  "where no other origin is to be had, the site is shown on the Lab's, and the page says so",
  async () => {
    const base = await serveFiles();
    const context = await newContext();
    await context.route(/torito\.localhost/, (route) => route.abort());
    const page = await openLab(context, base);
    expect(new URL(page.url()).hostname).toBe("127.0.0.1");
    expect(await textOf(page, "site-note")).toContain("the origin of this page");
    expect((await get(siteFrame(page), IMAGE)).status).toBe(200);
  },
);

inChromium("a site that leaves its scope takes its frame along, and nothing else", async () => {
  const { page } = await lab();
  const frame = siteFrame(page);
  await frame.evaluate(() => location.assign("/base/index.html"));
  await frame.waitForURL(/\/base\/index\.html$/);
  expect(await textOf(page, "state")).toContain("booted in");
  await page.locator("#send-many").click();
  await page.waitForFunction(() =>
    /^16 × 200/.test(document.querySelector("#answer")?.textContent ?? ""),
  );
});

for (const colorScheme of ["light", "dark"] as const) {
  for (const width of [360, 1280]) {
    inChromium(
      `axe-core finds nothing serious in the Lab: ${colorScheme}, ${width} pixels`,
      async () => {
        const base = await serveFiles();
        const context = await newContext({ colorScheme, viewport: { width, height: 800 } });
        const page = await openLab(context, base);
        await page.evaluate(readFileSync("node_modules/axe-core/axe.min.js", "utf8"));
        const found = await page.evaluate(async () => {
          const { axe } = globalThis as unknown as { axe: typeof import("axe-core") };
          const { violations } = await axe.run(document, { iframes: false });
          return violations
            .filter(({ impact }) => impact === "serious" || impact === "critical")
            .flatMap(({ id, nodes }) => nodes.map(({ html }) => `${id}: ${html.slice(0, 200)}`));
        });
        expect(found).toEqual([]);
        const overflow = await page.evaluate(
          () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
        );
        expect(overflow).toBeLessThanOrEqual(0);
      },
    );
  }
}
