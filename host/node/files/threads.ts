// Node's thread pool, which file calls of all directories share with name look-ups and whatever
// else the process does. A call that hangs keeps its thread for as long as the disk does. So each
// directory has at most half of the threads, all together leave one, and syncs, which may take
// minutes, leave one of their directory's.
const THREADS = Number(process.env.UV_THREADPOOL_SIZE) || 4; // libuv's default
const OF_ALL_MAX = Math.max(1, THREADS - 1);
const OF_ONE_MAX = Math.max(1, Math.floor(THREADS / 2));
const SYNCS_MAX = Math.max(1, OF_ONE_MAX - 1);

/** Begins a call, and calls `end` when it has ended. */
type Work = (end: () => void) => void;

/** The threads of all directories: those that have work waiting take turns. */
const waiting = new Set<Threads>();
let running = 0;

/** Calls that have a thread: the process cannot exit before the last of them has ended. */
export function callsRunning(): number {
  return running;
}

/** Those of one directory. */
export class Threads {
  readonly #calls: Work[] = [];
  readonly #syncs: Work[] = [];
  #running = 0;
  #syncing = 0;

  /** As soon as there is a thread; a sync behind the calls that wait. */
  run(work: Work, isSync = false): void {
    (isSync ? this.#syncs : this.#calls).push(work);
    waiting.add(this);
    schedule();
  }

  /** Begins one that waits, if it may. */
  begin(): boolean {
    if (this.#running === OF_ONE_MAX) return false;
    const isSync = this.#calls.length === 0;
    if (isSync && this.#syncing === SYNCS_MAX) return false;
    const work = this.#calls.shift() ?? this.#syncs.shift();
    if (work === undefined) return false;
    running++;
    this.#running++;
    if (isSync) this.#syncing++;
    const end = () => {
      running--;
      this.#running--;
      if (isSync) this.#syncing--;
      schedule();
    };
    try {
      work(end);
    } catch (error) {
      end();
      throw error;
    }
    return true;
  }

  get idle(): boolean {
    return this.#calls.length + this.#syncs.length === 0;
  }
}

function schedule(): void {
  for (let begun = true; begun && running < OF_ALL_MAX; ) {
    begun = false;
    for (const threads of [...waiting]) {
      if (running === OF_ALL_MAX) return;
      // To the end of the line.
      waiting.delete(threads);
      try {
        begun = threads.begin() || begun;
      } finally {
        if (!threads.idle) waiting.add(threads);
      }
    }
  }
}
