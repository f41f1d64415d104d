// A machine of the admin listener, which sends events (Server-Sent Events) and takes POST.
import type { Breakpoint } from "../../host/inspect/breakpoints.ts";
import type { HeapMap } from "../../host/inspect/heap.ts";
import type { StepBy } from "../../host/inspect/inspector.ts";
import type { MachineSource, Watcher } from "./source.ts";

/**
 * A browser has six connections to a listener, for all of its pages. Each stream takes one, and
 * commands and further pages need some.
 */
const STREAMS_MAX = 4;

export class HttpSource implements MachineSource {
  readonly kickHint =
    " With --replicas 1 --inspect it has a thread of its own, and stops in kicks.";
  readonly #root: URL;
  readonly #machine: string | null;

  /** `root`: of the inspector's pages. `machine`: its number; null: the first. */
  constructor(root: URL, machine: string | null) {
    this.#root = root;
    this.#machine = machine;
  }

  /**
   * A page that nobody sees has no stream, and of the others of this browser only those that were
   * opened, or had the focus, last.
   */
  watch(watcher: Watcher): () => void {
    const others = new BroadcastChannel(`torito ${this.#root.pathname}`);
    let stream: EventSource | null = null;
    let newer = 0; // streams of other pages, since this one was opened
    const close = () => {
      stream?.close();
      stream = null;
    };
    const look = () => {
      if (document.hidden) return close();
      if (stream !== null) return;
      newer = 0;
      others.postMessage("open");
      stream = this.#open(watcher);
    };
    others.onmessage = () => {
      newer++;
      if (stream === null || newer < STREAMS_MAX) return;
      close();
      watcher.connected(false, `not followed, as ${STREAMS_MAX} newer pages are: click to follow`);
    };
    document.addEventListener("visibilitychange", look);
    addEventListener("focus", look);
    look();
    return () => {
      document.removeEventListener("visibilitychange", look);
      removeEventListener("focus", look);
      others.close();
      close();
    };
  }

  /** Connects, and does so again by itself. */
  #open(watcher: Watcher): EventSource {
    const stream = new EventSource(this.#at("events"));
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
    const response = await fetch(this.#at("heap"));
    return response.ok ? response.json() : null;
  }

  #at(page: string): URL {
    const url = new URL(page, this.#root);
    if (this.#machine !== null) url.searchParams.set("machine", this.#machine);
    return url;
  }

  async #post(command: string, body: object = {}): Promise<void> {
    const response = await fetch(this.#at(command), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) return;
    const { error = response.statusText } = await response.json().catch(() => ({}));
    throw new Error(error);
  }
}
