// The inspector's page in a browser: its figures are the machine's, and it can be used by anybody.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, describe, expect } from "vitest";
import type { HeapMap } from "../../host/inspect/heap.ts";
import type { MachineView } from "../../host/inspect/inspector.ts";
import { PLACES } from "../../web/inspector/places.ts";
import { Appliance, has, until } from "../support/appliance.ts";
import { closeBrowser, openPage } from "../support/browser.ts";
import { witness } from "../support/outside-program.ts";

const SITE = "apps/web-server/site";
const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let appliance: Appliance;
let root: string;

beforeAll(async () => {
  if (!has("chromium")) return;
  appliance = await Appliance.serve(SITE, "--inspect");
  root = /inspector on (http:\S+)inspect/.exec(appliance.stderr)?.[1] ?? "";
});
afterAll(async () => {
  await closeBrowser();
  await appliance?.stop();
});

const state = async (): Promise<MachineView> => (await fetch(`${root}inspect/state`)).json();

/** The page, once it shows the machine. */
async function inspector(options: Parameters<typeof openPage>[0] = {}) {
  const { page, errors } = await openPage(options);
  await page.goto(`${root}inspect`);
  await page.getByText("running", { exact: true }).waitFor();
  return { page, errors };
}

describe("the page", () => {
  witness("chromium", "IN2: shows in each panel what the machine says", async () => {
    const { page, errors } = await inspector();
    await fetch(`${appliance.url}/small.html`);
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("paused", { exact: true }).waitFor();
    const { devices, threads, heap } = await state();
    for (const { name, queues } of devices) {
      for (const { name: queue, ring, kicks } of queues) {
        if (ring === null || ring.takenIdx === 0) continue;
        const row = page.getByRole("article", { name: `${name} ${queue}`, exact: true });
        const text = await row.textContent();
        expect(text).toContain(`${ring.availIdx} (`);
        expect(text).toContain(`${ring.usedIdx} (`);
        expect(text).toContain(`kicks${kicks}`);
        const label = await row.getByRole("img").getAttribute("aria-label");
        expect(label).toMatch(/descriptors: \d+ driver's, \d+ available, \d+ held by the device/);
      }
    }
    const table = await page.getByRole("table", { name: "Threads" }).textContent();
    for (const { id, waitsFor } of threads?.listed ?? []) {
      expect(table).toContain(`${id}`);
      expect(table).toContain(waitsFor);
    }
    const mib = ((heap?.inUse ?? 0) / 1024 / 1024).toFixed(1);
    expect(await page.locator("#heap").textContent()).toContain(`${mib} MiB in use`);
    const map = (await fetch(`${root}inspect/heap`).then((response) => response.json())) as HeapMap;
    await page.getByRole("button", { name: "Map its blocks" }).click();
    const used = map.blocks.filter((bytes) => bytes > 0).length;
    await page.getByText(`${used} blocks in use`).waitFor();
    await page.getByRole("button", { name: "Run" }).click();
    await page.getByText("running", { exact: true }).waitFor();
    expect(errors).toEqual([]);
    await page.close();
  });

  witness(
    "chromium",
    "IN4: two looks at a paused machine are equal, and a step changes them",
    async () => {
      const { page } = await inspector();
      await page.keyboard.press("Space");
      await page.getByText("paused", { exact: true }).waitFor();
      const [one, two] = [await state(), await state()];
      expect(two).toEqual(one);
      const answer = fetch(`${appliance.url}/small.html`).then((response) => response.status);
      await until(async () => {
        await page.keyboard.press(".");
        return (await state()).switches > one.switches;
      });
      await page.keyboard.press("Space");
      expect(await answer).toBe(200);
      await page.close();
    },
  );

  witness("chromium", "keys step while a button has the focus, by turn and by thread", async () => {
    const { page } = await inspector();
    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("paused", { exact: true }).waitFor();
    const asked: unknown[] = [];
    page.on("request", (request) => {
      if (request.url().endsWith("/step")) asked.push(request.postDataJSON());
    });
    await page.keyboard.press(".");
    await page.keyboard.press("t");
    await until(() => asked.length === 2);
    expect(asked).toEqual([{ by: "turn" }, { by: "thread" }]);
    await page.getByRole("button", { name: "Run" }).press("Space"); // the button, and only that
    await page.getByText("running", { exact: true }).waitFor();
    await page.close();
  });

  witness(
    "chromium",
    "a tab that nobody sees has no connection, and then shows each event once",
    async () => {
      const { page } = await inspector();
      const other = await fetch(`${root}inspect/events`); // while one looks, events are kept
      for (let i = 0; i < 5; i++) await fetch(`${appliance.url}/small.html`);
      const note = page.getByText(/^\d+ events recorded/);
      const count = async () => Number.parseInt((await note.textContent()) ?? "", 10);
      let before = 0;
      await until(async () => {
        const last = before;
        before = await count();
        await page.waitForTimeout(300);
        return before > 20 && before === last;
      });
      const show = (isHidden: boolean) =>
        page.evaluate((hidden) => {
          Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
          document.dispatchEvent(new Event("visibilitychange"));
        }, isHidden);
      const streams: string[] = [];
      page.on("request", (request) => void streams.push(request.url()));
      const left = page.waitForEvent("requestfailed", (one) => one.url().endsWith("/events"));
      await show(true);
      await left;
      expect(streams).toEqual([]);
      await show(false);
      await until(() => streams.length === 1);
      await fetch(`${appliance.url}/small.html`);
      await until(async () => (await count()) > before);
      expect(await count()).toBeLessThan(2 * before);
      await other.body?.cancel();
      await page.close();
    },
  );

  witness("chromium", "seven pages of one browser: the last four are followed", async () => {
    const { page: first } = await inspector();
    const pages = [first];
    while (pages.length < 7) {
      const page = await first.context().newPage();
      await page.goto(`${root}inspect`);
      await page.getByText("running", { exact: true }).waitFor();
      pages.push(page);
    }
    const followed = () =>
      Promise.all(pages.map((page) => page.getByText("running", { exact: true }).count()));
    await expect.poll(followed).toEqual([0, 0, 0, 1, 1, 1, 1]);
    await first.getByText("not followed, as 4 newer pages are: click to follow").waitFor();
    await first.evaluate(() => dispatchEvent(new Event("focus")));
    await expect.poll(followed).toEqual([1, 0, 0, 0, 1, 1, 1]);
    for (const page of pages.reverse()) await page.close();
  });

  witness(
    "chromium",
    "a machine that shares its thread says that it stops between turns, and what does not",
    async () => {
      const { page } = await inspector();
      await page.getByText(/the thread of this machine may not block/).waitFor();
      await page.getByText("With --replicas 1 --inspect it has a thread of its own").waitFor();
      expect(await page.getByRole("button", { name: "Step kick" }).count()).toBe(0);
      await page.getByRole("button", { name: "Pause" }).click();
      await page.getByText("paused", { exact: true }).waitFor();
      await page.keyboard.press("k");
      await page
        .getByText(/^its thread serves this page as well, .* --replicas 1 --inspect/)
        .waitFor();
      await page.getByRole("button", { name: "Run" }).click();
      await page.getByText("running", { exact: true }).waitFor();
      await page.close();
    },
  );

  witness("chromium", "a breakpoint that is refused says why", async () => {
    const { page } = await inspector();
    await page.getByLabel("named, if you like").fill("x".repeat(101));
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByText("breakpoints: a list of breakpoints").waitFor();
    await page.close();
  });

  witness("chromium", "a breakpoint is set, hit, and removed", async () => {
    const { page } = await inspector();
    await page.getByLabel("Stop at").selectOption("file");
    await page.getByLabel("named, if you like").fill("OPEN");
    await page.getByRole("button", { name: "Add" }).click();
    await page.getByRole("button", { name: "Remove file OPEN" }).waitFor();
    const answer = fetch(`${appliance.url}/calls.html`).then((response) => response.status);
    await page.getByText("paused at OPEN").waitFor();
    await page.getByRole("button", { name: "Remove file OPEN" }).click();
    await page.getByRole("button", { name: "Run" }).click();
    expect(await answer).toBe(200);
    await page.close();
  });

  witness("chromium", "shows the stops of one request, and their lines", async () => {
    const { page, errors } = await inspector();
    const get = async () => await (await fetch(`${appliance.url}/small.html`)).text();
    await get();
    await get(); // what a thread waited for when the page came is not known
    const table = page.getByRole("table", { name: "Stops of one request" });
    await table.getByText("serveConnection").first().waitFor();
    const rows = await table.getByRole("row").allTextContents();
    const stops = rows.flatMap((row) => /^\d+(?=\. )/.exec(row) ?? []).map(Number);
    expect(stops[0]).toBe(15);
    expect(stops).toContain(17);
    expect(stops.at(-1)).toBe(26);
    const { file, line } = PLACES.find(({ stop }) => stop === 15) as (typeof PLACES)[number];
    expect(rows[1]).toContain(`${file}:${line}`);
    const choice = page.getByRole("combobox", { name: "Request" });
    await choice.selectOption({ index: 1 });
    await page
      .locator("#request")
      .getByText(/\d events in/)
      .waitFor();
    expect(errors).toEqual([]);
    await page.close();
  });

  witness("chromium", "a cell has the colour of its owner", async () => {
    const { page } = await inspector();
    const painted = await page.evaluate(() => {
      const canvas = document.querySelector<HTMLCanvasElement>('[aria-label="vsock rx"] canvas');
      return [...(canvas?.getContext("2d")?.getImageData(5, 5, 1, 1).data ?? [])].slice(0, 3);
    });
    expect(painted).toEqual([0x00, 0x72, 0xb2]); // available, in light colours
    await page.close();
  });

  for (const colorScheme of ["light", "dark"] as const) {
    witness(
      "chromium",
      `has nothing serious against it, in ${colorScheme}, on a phone too`,
      async () => {
        for (const width of [1280, 390]) {
          const { page } = await inspector({ colorScheme, viewport: { width, height: 844 } });
          await page.evaluate(axe);
          const found = await page.evaluate("axe.run()");
          const { violations } = found as { violations: { id: string; impact: string }[] };
          const grave = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
          expect(grave.map(({ id }) => id)).toEqual([]);
          const overflow = await page.evaluate(
            () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
          );
          expect(overflow).toBe(0);
          await page.close();
        }
      },
    );
  }
});
