// Sends the machine to the inspector's pages while they look: its state some ten times a second,
// and its events. A slow page gets less of that, and nothing waits for it. While nobody looks there
// is no timer, and there are no events.
import type { ServerResponse } from "node:http";
import type { Inspector } from "../../inspect/inspector.ts";
import type { TraceEvent } from "../../trace/event.ts";

const PERIOD_MS = 100;
/** Events for one page between two messages; more are counted. */
const EVENTS_MAX = 4096;
/** A page that takes nothing for that long is let go. */
const PATIENCE_MS = 5000;
/** A stream that says nothing for long is closed by whatever is in between. */
const SILENCE_MS = 15_000;

interface Page {
  readonly response: ServerResponse;
  events: TraceEvent[];
  lost: number;
  /** When it did not take what it was sent; null: it does. */
  stuckSince: number | null;
  toldAt: number;
  view: string; // that it was sent last
}

export class InspectionStream {
  readonly #machine: () => Inspector | null;
  readonly #pages = new Set<Page>();
  #timer: NodeJS.Timeout | null = null;
  #watched: Inspector | null = null;
  #endWatch: (() => void) | null = null;

  constructor(machine: () => Inspector | null) {
    this.#machine = machine;
  }

  /** Sends to `response` until its client leaves. */
  add(response: ServerResponse): void {
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    const events = this.#machine()?.recent() ?? [];
    const page: Page = { response, events, lost: 0, stuckSince: null, toldAt: 0, view: "" };
    this.#pages.add(page);
    response.on("close", () => this.#remove(page));
    this.#begin();
    this.#send();
  }

  close(): void {
    for (const { response } of this.#pages) response.end();
  }

  #begin(): void {
    if (this.#timer !== null) return;
    this.#timer = setInterval(() => this.#send(), PERIOD_MS).unref();
    this.#watch(this.#machine());
  }

  /** Another machine may have taken the place of the one before. */
  #watch(machine: Inspector | null): void {
    this.#endWatch?.();
    this.#watched = machine;
    this.#endWatch = machine?.watch((event) => this.#record(event)) ?? null;
  }

  #remove(page: Page): void {
    this.#pages.delete(page);
    if (this.#pages.size > 0) return;
    if (this.#timer !== null) clearInterval(this.#timer);
    this.#timer = null;
    this.#endWatch?.();
    this.#endWatch = null;
    this.#watched = null;
  }

  #record(event: TraceEvent): void {
    for (const page of this.#pages) {
      if (page.events.length < EVENTS_MAX) page.events.push(event);
      else page.lost++;
    }
  }

  #send(): void {
    const machine = this.#machine();
    if (machine !== this.#watched) this.#watch(machine);
    const view = machine === null ? "" : JSON.stringify(machine.view());
    const now = performance.now();
    for (const page of this.#pages) this.#sendTo(page, view, now);
  }

  #sendTo(page: Page, view: string, now: number): void {
    const { response } = page;
    if (response.writableNeedDrain) {
      page.stuckSince ??= now;
      if (now - page.stuckSince > PATIENCE_MS) response.destroy();
      return;
    }
    page.stuckSince = null;
    let text = "";
    if (view !== "" && view !== page.view) text += message("view", view);
    if (page.events.length > 0 || page.lost > 0) {
      const { events, lost } = page;
      text += message("events", JSON.stringify({ events, lost }));
      page.events = [];
      page.lost = 0;
    }
    if (text === "" && now - page.toldAt < SILENCE_MS) return;
    page.view = view;
    page.toldAt = now;
    response.write(text === "" ? ":\n\n" : text);
  }
}

const message = (event: string, data: string) => `event: ${event}\ndata: ${data}\n\n`;
