// A browser for tests: Debian's chromium, which CI installs.
import { type Browser, type BrowserContextOptions, chromium, type Page } from "playwright-core";

/** Then what is waited for will not come: shorter than a test may last, to tell what it was. */
export const HANG_MS = 120_000;

let browser: Browser | null = null;

/** A page of its own, and the errors that it has reported so far. */
export async function openPage(
  options: BrowserContextOptions = {},
): Promise<{ page: Page; errors: string[] }> {
  browser ??= await chromium.launch({
    executablePath: "/usr/bin/chromium",
    args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
  });
  const context = await browser.newContext(options);
  context.setDefaultTimeout(HANG_MS);
  const page = await context.newPage();
  const errors: string[] = [];
  page.on("pageerror", ({ message }) => errors.push(message));
  page.on("console", (message) => {
    if (message.type() === "error") errors.push(message.text());
  });
  page.on("close", () => void context.close().catch(() => {})); // the browser may be gone
  return { page, errors };
}

export async function closeBrowser(): Promise<void> {
  await browser?.close();
  browser = null;
}
