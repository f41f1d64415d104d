// The machine of this thread, for the inspector's pages.
import { carryOut, type InspectionCommand } from "../../inspect/commands.ts";
import type { HeapMap } from "../../inspect/heap.ts";
import type { Inspector, MachineView, RunState } from "../../inspect/inspector.ts";
import type { TraceEvent } from "../../trace/event.ts";
import { JsonTrace } from "../../trace/json-trace.ts";
import type { Inspected, InspectedMachine, TraceFile } from "./inspected.ts";

const MAY_NOT_BLOCK =
  "its thread serves this page as well, and may not block in a kick; " +
  "with --replicas 1 --inspect the machine has a thread of its own";

export class OwnMachine implements InspectedMachine {
  readonly inspector: Inspector;

  constructor(inspector: Inspector) {
    this.inspector = inspector;
  }

  view(): MachineView {
    return this.inspector.view();
  }

  recent(): TraceEvent[] {
    return this.inspector.recent();
  }

  watch(watcher: (event: TraceEvent) => void): () => void {
    return this.inspector.watch(watcher);
  }

  async look(): Promise<MachineView> {
    return this.inspector.view();
  }

  async heapMap(): Promise<HeapMap | null> {
    return this.inspector.heapMap();
  }

  async command(command: InspectionCommand): Promise<RunState> {
    if (command.name === "step" && command.by === "kick") throw new Error(MAY_NOT_BLOCK);
    carryOut(this.inspector, command);
    return this.inspector.state;
  }

  trace(file: TraceFile, names: boolean): () => void {
    return traceTo(this.inspector, file, names);
  }
}

/** Writes a trace of the machine until the result is called. */
export function traceTo(inspector: Inspector, file: TraceFile, names: boolean): () => void {
  const trace = new JsonTrace((bytes) => file.write(bytes), { names });
  const endTrace = inspector.trace(trace.sink);
  let isEnded = false;
  return () => {
    if (isEnded) return;
    isEnded = true;
    endTrace();
    trace.end();
    file.ended();
  };
}

/** The machines of a service, which are one after the other. */
export function inspectedOf(service: { readonly inspector: Inspector | null }): Inspected {
  let own: OwnMachine | null = null;
  return {
    count: 1,
    machine: () => {
      const { inspector } = service;
      if (inspector === null) return null;
      if (own?.inspector !== inspector) own = new OwnMachine(inspector);
      return own;
    },
  };
}
