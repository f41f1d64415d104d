// Fair use of Node's thread pool, which the file calls of all directories share with DNS look-ups
// and other work of the process. A call blocks its thread for as long as the disk hangs. So each
// directory gets at most half of the threads, all directories together leave one, and syncs, which
// may take minutes, leave one of their directory's.
const THREADS = Number(process.env.UV_THREADPOOL_SIZE) || 4; // libuv's default
const OF_ALL_MAX = Math.max(1, THREADS - 1);
const OF_ONE_MAX = Math.max(1, Math.floor(THREADS / 2));
const SYNCS_MAX = Math.max(1, OF_ONE_MAX - 1);

/** Begins a call, and calls `end` after it. */
type Work = (end: () => void) => void;

/** Directories with work waiting; they take turns. */
const waiting = new Set<Threads>();
let running = 0;

/** Calls that have a thread. The process cannot exit before the last one has ended. */
export function callsRunning(): number {
  return running;
}

/** The threads of one directory. */
export class Threads {
  readonly #calls: Work[] = [];
  readonly #syncs: Work[] = [];
  #running = 0;
  #syncing = 0;

  /** Runs work once there is a thread; syncs after other calls that wait. */
  run(work: Work, isSync = false): void {
    (isSync ? this.#syncs : this.#calls).push(work);
    waiting.add(this);
    schedule();
  }

  /** Begins waiting work, if it may. */
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
      // To the end of the queue.
      waiting.delete(threads);
      try {
        begun = threads.begin() || begun;
      } finally {
        if (!threads.idle) waiting.add(threads);
      }
    }
  }
}
