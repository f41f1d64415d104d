// Where the lines of the access log go. Another file may take the place of the first.
import type { LineBuffer } from "../../service/line-buffer.ts";

/** Takes lines. */
export interface LineSink {
  /** Lines that were not written. */
  readonly dropped: number;
  /**
   * Where to put whole lines, now: `lines` of them (1 by default), which take at most `bytes`; an
   * empty buffer holds them. null: there is no room, and they are counted as lost.
   */
  room(bytes: number, lines?: number): LineBuffer | null;
  /** Resolves when all lines so far have been written or dropped. */
  flushed(): Promise<void>;
  /** Nothing is added any more. */
  close(): Promise<void>;
}

/** Opens the log at a path, `-` for stdout; null: there is none. Throws an Error that says why. */
export type OpenLog = (path: string | null) => LineSink | null;

export class LogOutput implements Pick<LineSink, "dropped" | "room" | "flushed"> {
  readonly #open: OpenLog;
  #sink: LineSink | null;
  #droppedBefore = 0; // by those that are closed, less what this one had dropped already

  constructor(open: OpenLog, path: string | null) {
    this.#open = open;
    this.#sink = open(path);
  }

  /** Does anybody take lines? */
  get isOpen(): boolean {
    return this.#sink !== null;
  }

  get dropped(): number {
    return this.#droppedBefore + (this.#sink?.dropped ?? 0);
  }

  /** As LineSink has it; without a log nothing is lost. */
  room(bytes: number, lines = 1): LineBuffer | null {
    return this.#sink === null ? null : this.#sink.room(bytes, lines);
  }

  async flushed(): Promise<void> {
    await this.#sink?.flushed();
  }

  /**
   * Opens another file, or the same one again. Returns what makes it the log, or gives it back.
   * Throws as OpenLog does.
   */
  change(path: string | null): { commit(): void; cancel(): void } {
    const next = this.#open(path);
    const commit = () => {
      const before = this.#sink;
      this.#droppedBefore += (before?.dropped ?? 0) - (next?.dropped ?? 0);
      this.#sink = next;
      void before?.close();
    };
    return { commit, cancel: () => void next?.close() };
  }
}
