// Where the lines of the access log go. Another file may take the place of the first.

/** Takes lines. */
export interface LineSink {
  /** Lines that were not written. */
  readonly dropped: number;
  /** `line` makes the line when it is written: later, and never for one that is dropped. */
  add(line: () => string): void;
  /** Resolves when all lines so far have been written or dropped. */
  flushed(): Promise<void>;
  /** Nothing is added any more. */
  close(): Promise<void>;
}

/** Opens the log at a path, `-` for stdout; null: there is none. Throws an Error that says why. */
export type OpenLog = (path: string | null) => LineSink | null;

export class LogOutput implements Pick<LineSink, "dropped" | "add" | "flushed"> {
  readonly #open: OpenLog;
  #sink: LineSink | null;
  #droppedBefore = 0; // by those that are closed

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

  add(line: () => string): void {
    this.#sink?.add(line);
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
      this.#droppedBefore += before?.dropped ?? 0;
      this.#sink = next;
      void before?.close();
    };
    return { commit, cancel: () => void next?.close() };
  }
}
