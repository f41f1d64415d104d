// A host that may keep the device waiting: calls that move to the thread pool, the requests that
// wait for them, and what is under way there.
import type { Files } from "../../../ports/files.ts";
import type { FsStats } from "../stats.ts";
import { Activity } from "./activity.ts";
import { Background, type BusyFiles } from "./background.ts";
import { HostCalls } from "./host-calls.ts";
import { Syncs } from "./syncs.ts";

export interface SlowHostParts {
  readonly files: Files;
  readonly limits: { readonly slowMs: number; readonly stallMs: number };
  readonly stats: FsStats;
  /** Nanoseconds. */
  readonly now: () => number;
  /** The table of open files, which does not exist yet. */
  readonly handles: () => BusyFiles;
}

export class SlowHost {
  readonly calls: HostCalls;
  readonly background: Background;
  readonly activity = new Activity();
  readonly syncs = new Syncs(this.activity);

  constructor({ files, limits, stats, now, handles }: SlowHostParts) {
    this.calls = new HostCalls(files, () => this.background.wantsAll);
    this.background = new Background(this.calls, handles, stats, this.activity, limits, now);
  }

  /** The session is over: calls that have not begun are dropped. */
  clear(): void {
    this.background.clear();
    this.syncs.clear();
  }
}
