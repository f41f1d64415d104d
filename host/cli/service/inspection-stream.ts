// The inspector's pages over HTTP: each is sent the machine as Server-Sent Events.
import type { ServerResponse } from "node:http";
import { Feed, type Update, type Viewer, type Watched } from "../../inspect/feed.ts";
import type { MachineView } from "../../inspect/inspector.ts";

/** A page that takes nothing for that long is let go. */
const PATIENCE_MS = 5000;
/** A stream that says nothing for long is closed by whatever is in between. */
const SILENCE_MS = 15_000;

export class InspectionStream {
  readonly #feed: Feed;
  readonly #responses = new Set<ServerResponse>();
  readonly #json = new WeakMap<MachineView, string>(); // one text for all pages

  constructor(machine: () => Watched | null) {
    this.#feed = new Feed(machine);
  }

  /** Sends to `response` until its client leaves. */
  add(response: ServerResponse): void {
    response.writeHead(200, {
      "Content-Type": "text/event-stream",
      "Cache-Control": "no-store",
      "X-Content-Type-Options": "nosniff",
    });
    const page = new Page(response, this.#textOf);
    this.#responses.add(response);
    response.on("close", () => {
      this.#responses.delete(response);
      this.#feed.remove(page);
    });
    this.#feed.add(page);
  }

  close(): void {
    for (const response of this.#responses) response.end();
  }

  readonly #textOf = (view: MachineView | null): string => {
    if (view === null) return "";
    const text = this.#json.get(view) ?? JSON.stringify(view);
    this.#json.set(view, text);
    return text;
  };
}

class Page implements Viewer {
  readonly #response: ServerResponse;
  readonly #textOf: (view: MachineView | null) => string;
  #stuckSince: number | null = null; // when it did not take what it was sent
  #writtenAt = 0;
  #view = ""; // that it was sent last

  constructor(response: ServerResponse, textOf: (view: MachineView | null) => string) {
    this.#response = response;
    this.#textOf = textOf;
  }

  isReady(): boolean {
    if (!this.#response.writableNeedDrain) {
      this.#stuckSince = null;
      return true;
    }
    this.#stuckSince ??= performance.now();
    if (performance.now() - this.#stuckSince > PATIENCE_MS) this.#response.destroy();
    return false;
  }

  show({ view, events, lost }: Update): void {
    const now = performance.now();
    const present = this.#textOf(view);
    let text = "";
    if (present !== "" && present !== this.#view) text += message("view", present);
    if (events.length > 0 || lost > 0) text += message("events", JSON.stringify({ events, lost }));
    if (text === "" && now - this.#writtenAt < SILENCE_MS) return;
    this.#view = present;
    this.#writtenAt = now;
    this.#response.write(text === "" ? ":\n\n" : text);
  }
}

const message = (event: string, data: string) => `event: ${event}\ndata: ${data}\n\n`;
