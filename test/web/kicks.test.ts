// The inspector's page of machines in threads: one of several is chosen, and stopped inside a kick.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { afterAll, beforeAll, expect } from "vitest";
import { Appliance, has } from "../support/appliance.ts";
import { closeBrowser, openPage } from "../support/browser.ts";
import { witness } from "../support/outside-program.ts";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
let appliance: Appliance;
let root: string;

beforeAll(async () => {
  if (!has("chromium")) return;
  appliance = await Appliance.serve("apps/web-server/site", "--replicas", "2", "--inspect");
  root = /inspector on (http:\S+)inspect/.exec(appliance.stderr)?.[1] ?? "";
});
afterAll(async () => {
  await closeBrowser();
  await appliance?.stop();
});

witness(
  "chromium",
  "IN9: leads to each machine, and steps by kicks, by button and by key",
  async () => {
    const { page, errors } = await openPage();
    await page.goto(`${root}inspect`);
    const machines = page.getByRole("navigation", { name: "Machines" });
    await machines.getByRole("link", { name: "2" }).click();
    await page.getByText("running", { exact: true }).waitFor();
    expect(await machines.locator("[aria-current]").textContent()).toBe("2");
    await page.evaluate(axe);
    const found = await page.evaluate("axe.run()");
    const { violations } = found as { violations: { id: string; impact: string }[] };
    expect(violations.filter(({ impact }) => ["serious", "critical"].includes(impact))).toEqual([]);

    await page.getByRole("button", { name: "Pause" }).click();
    await page.getByText("paused", { exact: true }).waitFor();
    await page.getByRole("button", { name: "Step kick" }).click();
    await page.getByText("running", { exact: true }).waitFor();
    const answers: Promise<number>[] = [];
    const isStopped = page.getByText(/^stopped in a kick of /);
    while ((await isStopped.count()) === 0) {
      const request = fetch(`${appliance.url}/small.html`, { headers: { connection: "close" } });
      answers.push(request.then(({ status }) => status)); // some go to the other machine
      await page.waitForTimeout(100);
    }
    const stops = new Set<string | null>();
    while (!stops.has("stopped in a kick of request 0")) {
      await page.keyboard.press("k");
      await page.waitForTimeout(200);
      stops.add(await page.locator("output.state").textContent());
    }
    expect(await page.getByRole("button", { name: "Step thread" }).isDisabled()).toBe(true);
    await page.getByRole("button", { name: "Run" }).click();
    await page.getByText("running", { exact: true }).waitFor();
    expect(new Set(await Promise.all(answers))).toEqual(new Set([200]));
    expect(errors).toEqual([]);
    await page.close();
  },
);
