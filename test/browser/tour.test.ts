// The tour in the Lab: text on one side, the machine on the other, and nothing to install.
import type { Page } from "playwright-core";
import { expect } from "vitest";
import { labStops } from "../../tools/tour.mjs";
import { inChromium, newContext, openLab, serveFiles } from "../support/tab.ts";

const lab = async (hash = ""): Promise<Page> =>
  openLab(await newContext(), await serveFiles(), hash);

inChromium("TO5: each stop is there: its line, where to look, and one thing to try", async () => {
  const page = await lab();
  await page.locator("#tour-begin").click();
  const tour = page.locator("#tour-stop");
  for (const { stop, title, file, line } of labStops()) {
    await tour.getByRole("heading", { name: `${stop}. ${title}`, exact: true }).waitFor();
    const text = (await tour.textContent()) ?? "";
    expect(text).toContain(`${file}:${line}`);
    for (const mark of ["Look: ", "Try: ", "Ask: "]) expect(text).toContain(mark);
    expect(text).not.toMatch(/[`*]/);
    expect(new URL(page.url()).hash).toBe(`#tour-${stop}`);
    const next = tour.getByRole("button", { name: "Next" });
    if (await next.isEnabled()) await next.click();
    else expect(stop).toBe(28);
  }
});

inChromium("TO5: a stop sends its request, and the timeline shows what happens there", async () => {
  const page = await lab("#tour-15");
  const tour = page.locator("#tour-stop");
  await tour.getByRole("heading", { name: "15. Bytes arrive" }).waitFor();
  await tour.getByRole("button", { name: "Send it from here" }).click();
  await tour.getByText(/^1 × 206 Partial Content, 10 bytes/).waitFor();
  await page.getByText(/Only those of stop 15 of the tour are shown/).waitFor();
  const rows = page.getByRole("table", { name: "Events" }).locator("tbody tr");
  await rows.first().waitFor();
  for (const row of await rows.all()) expect(await row.textContent()).toContain("RW to guest");
  await tour.getByRole("button", { name: "Show One request" }).click();
  await expect
    .poll(() => page.locator("#request-title").evaluate((one) => one.getBoundingClientRect().top))
    .toBeLessThan(200);
  await tour.getByRole("button", { name: "End", exact: true }).click();
  await page.getByRole("table", { name: "Events" }).getByText("kick").first().waitFor();
  await tour.getByRole("button", { name: "Begin" }).click();
  await tour.getByRole("heading", { name: "1. Node accepts" }).waitFor();
});

inChromium("TO5: a stop boots the machine with the parameter that it is about", async () => {
  const page = await lab("#tour-4");
  const tour = page.locator("#tour-stop");
  await tour.getByRole("button", { name: "Boot with vsock.rx_ring=32" }).click();
  await tour.getByText("The machine runs with vsock.rx_ring=32.").waitFor();
  const rx = page.getByRole("article", { name: "vsock rx", exact: true });
  await expect.poll(async () => rx.textContent()).toMatch(/\b32\b.*\(\d+ mod 32|size ?32|32 descr/);
});
