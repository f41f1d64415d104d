// Where the inspector's page gets a machine from: over HTTP from the admin listener, or from a
// Worker of the same page.
import type { Breakpoint } from "../../host/inspect/breakpoints.ts";
import type { HeapMap } from "../../host/inspect/heap.ts";
import type { MachineView, StepBy } from "../../host/inspect/inspector.ts";
import type { TraceEvent } from "../../host/trace/event.ts";

export interface Watcher {
  /** The machine as it is now; at most some ten times a second. */
  view(view: MachineView): void;
  /** Events since the last call; `lost` more are missing. */
  events(events: readonly TraceEvent[], lost: number): void;
  /**
   * true: events of late come again, and among them some that have come before. false: nothing
   * comes from the machine, for the time being, and why, if that is known.
   */
  connected(isConnected: boolean, reason?: string): void;
}

/** A machine that can be watched. Commands reject with an Error that is for people. */
export interface MachineSource {
  /** For people: how to start a machine that stops inside kicks, if this one does not. */
  readonly kickHint?: string;
  /** Calls the watcher until the result is called. */
  watch(watcher: Watcher): () => void;
  pause(): Promise<void>;
  resume(): Promise<void>;
  step(by: StepBy): Promise<void>;
  breakAt(breakpoints: readonly Breakpoint[]): Promise<void>;
  heapMap(): Promise<HeapMap | null>;
}
