// A machine of the admin listener, which sends events (Server-Sent Events) and takes POST.
import type { Breakpoint } from "../../host/inspect/breakpoints.ts";
import type { HeapMap } from "../../host/inspect/heap.ts";
import type { StepBy } from "../../host/inspect/inspector.ts";
import type { MachineSource, Watcher } from "./source.ts";

export class HttpSource implements MachineSource {
  readonly #root: URL;

  /** `root`: of the inspector's pages. */
  constructor(root: URL) {
    this.#root = root;
  }

  watch(watcher: Watcher): () => void {
    let stream: EventSource | null = null;
    // A browser has six connections to a listener, for all tabs: one that nobody sees needs none.
    const look = () => {
      if (!document.hidden) stream ??= this.#open(watcher);
      else {
        stream?.close();
        stream = null;
      }
    };
    document.addEventListener("visibilitychange", look);
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      stream?.close();
    };
  }

  /** Connects, and does so again by itself. */
  #open(watcher: Watcher): EventSource {
    const stream = new EventSource(new URL("events", this.#root));
    stream.addEventListener("open", () => watcher.connected(true));
    stream.addEventListener("error", () => watcher.connected(false));
    stream.addEventListener("view", ({ data }) => watcher.view(JSON.parse(data)));
    stream.addEventListener("events", ({ data }) => {
      const { events, lost } = JSON.parse(data);
      watcher.events(events, lost);
    });
    return stream;
  }

  pause(): Promise<void> {
    return this.#post("pause");
  }

  resume(): Promise<void> {
    return this.#post("resume");
  }

  step(by: StepBy): Promise<void> {
    return this.#post("step", { by });
  }

  breakAt(breakpoints: readonly Breakpoint[]): Promise<void> {
    return this.#post("break", { breakpoints });
  }

  async heapMap(): Promise<HeapMap | null> {
    const response = await fetch(new URL("heap", this.#root));
    return response.ok ? response.json() : null;
  }

  async #post(command: string, body: object = {}): Promise<void> {
    const response = await fetch(new URL(command, this.#root), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return;
    const { error = response.statusText } = await response.json().catch(() => ({}));
    throw new Error(error);
  }
}
