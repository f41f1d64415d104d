// The warm compiler's thread (tools/watch.mjs), and its reports.
import { Worker } from "node:worker_threads";
import { type Diagnostic, type Point, toolUrl } from "../../node/builder.ts";

/** Files that a build depends on, apart from sources that it imports. */
export interface Watched {
  /** Of the application; null: the project's tests. */
  readonly entry: string | null;
  /** Files that are not sources; a change of them is reported. */
  readonly settings: readonly string[];
}

/** A build that is repeated. */
export interface WatchOptions extends Watched {
  readonly folder: string;
  readonly tests: readonly string[];
  readonly coverage: boolean;
  readonly colors: boolean;
}

export interface Built {
  readonly kind: "built";
  readonly entry: string;
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly map: string;
  readonly points: readonly Point[];
  readonly warnings: readonly Diagnostic[];
  readonly ms: number;
}

export interface Failed {
  readonly kind: "failed";
  readonly entry: string;
  readonly diagnostics: readonly Diagnostic[];
  readonly ms: number;
}

export type WatchEvent =
  | { readonly kind: "building"; readonly entry: string }
  | Built
  | Failed
  /** All that has changed is built. */
  | { readonly kind: "done"; readonly entries: readonly string[] }
  | { readonly kind: "settings" }
  /** The thread has ended. `missing`: for want of the compiler. */
  | { readonly kind: "fault"; readonly message: string; readonly missing: boolean };

export class Watcher {
  readonly #worker: Worker;

  /** Begins to build at once. */
  constructor(options: WatchOptions, report: (event: WatchEvent) => void) {
    this.#worker = new Worker(toolUrl("watch"), { workerData: options });
    this.#worker.on("message", report);
    this.#worker.on("error", (error: Error) => {
      report({ kind: "fault", message: error.stack ?? error.message, missing: false });
    });
  }

  /** The project's main file, or its other files, are others from now on. */
  watch(watched: Watched): void {
    this.#worker.postMessage(watched);
  }
}
