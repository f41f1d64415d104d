// A machine as the inspector's pages see it, in this thread or in one of its own.
import type { InspectionCommand } from "../../inspect/commands.ts";
import type { Watched } from "../../inspect/feed.ts";
import type { HeapMap } from "../../inspect/heap.ts";
import type { MachineView, RunState } from "../../inspect/inspector.ts";

/** A machine that cannot answer now. The message is for people. */
export class Unavailable extends Error {}

/** The file of a trace, as it grows. */
export interface TraceFile {
  /** Copies the bytes. */
  write(bytes: Uint8Array): void;
  /** Nothing more is written. Called once. */
  ended(): void;
}

export interface InspectedMachine extends Watched {
  /** The machine as it is now. Rejects with Unavailable. */
  look(): Promise<MachineView>;
  /** null: the image does not say. Rejects with Unavailable. */
  heapMap(): Promise<HeapMap | null>;
  /**
   * Resolves with its state then. Rejects with Unavailable, or with another Error that is for
   * people: it does not do that now.
   */
  command(command: InspectionCommand): Promise<RunState>;
  /**
   * Begins a trace, which ends when the result is called, or with the machine. `names`: with paths
   * of requests and names of files.
   */
  trace(file: TraceFile, names: boolean): () => void;
}

/** Machines that are inspected. They have numbers from 1 on. */
export interface Inspected {
  readonly count: number;
  /** The present one of that number; null: there is none, for the moment. */
  machine(number: number): InspectedMachine | null;
}
