// Runs of operations that may be repeated (slow/replay.ts), as the tables see them.

/** Of a host that may keep the device waiting. */
export interface Runs {
  /** Is an operation running that may be repeated? */
  readonly replaying: boolean;
  /** See Replay. */
  mark(): number;
  keep(mark: number): void;
  /** Calls `release` after the current operation. False: that is due already, for this owner. */
  untilEnd(owner: object, release: () => void): boolean;
  /** Runs `body` at the end of the run, if it turns out to be the last. */
  effect(body: () => void): void;
}

/** No operation is repeated. */
export const NO_RUNS: Runs = {
  replaying: false,
  mark: () => 0,
  keep() {},
  untilEnd: () => false,
  effect() {},
};
