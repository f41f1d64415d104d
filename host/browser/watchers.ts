// Pages that watch the machine of a Worker, each over a port. One that has not drawn the last
// message gets no other.
import { Feed, type Update, type Viewer } from "../inspect/feed.ts";
import type { Inspector } from "../inspect/inspector.ts";
import { WATCHED, type WatchMessage } from "./worker-protocol.ts";

/** A further one takes the place of the oldest. */
const WATCHERS_MAX = 8;

export class Watchers {
  readonly #feed: Feed;
  readonly #watchers = new Set<Watcher>();

  constructor(inspector: Inspector) {
    this.#feed = new Feed(() => inspector);
  }

  /** Sends the machine as it is now, whether or not the last message was drawn. */
  showNow(): void {
    this.#feed.showNow();
  }

  /** Sends to `port` until its other end says "end". */
  add(port: MessagePort): void {
    for (const oldest of this.#watchers) {
      if (this.#watchers.size >= WATCHERS_MAX) this.#remove(oldest);
    }
    const watcher = new Watcher(port);
    this.#watchers.add(watcher);
    port.onmessage = ({ data }) => {
      if (data === WATCHED) watcher.isDrawing = false;
      else this.#remove(watcher);
    };
    this.#feed.add(watcher);
  }

  #remove(watcher: Watcher): void {
    this.#watchers.delete(watcher);
    this.#feed.remove(watcher);
    watcher.port.close();
  }
}

class Watcher implements Viewer {
  readonly port: MessagePort;
  isDrawing = false;

  constructor(port: MessagePort) {
    this.port = port;
  }

  isReady(): boolean {
    return !this.isDrawing;
  }

  show({ view, events, lost }: Update): void {
    if (view === null) return;
    this.isDrawing = true;
    const message: WatchMessage = { view, events, lost };
    this.port.postMessage(message);
  }
}
