// The inspector of a Worker's machine, which is loaded when a page first asks for it.
import { Inspector, type InspectorOptions } from "../inspect/inspector.ts";
import { Watchers } from "./watchers.ts";
import type { InspectionCommand } from "./worker-protocol.ts";

export class Inspection {
  readonly #inspector: Inspector;
  readonly #watchers: Watchers;

  constructor(options: InspectorOptions) {
    this.#inspector = new Inspector(options);
    this.#watchers = new Watchers(this.#inspector);
  }

  /** A page watches over that port. */
  watch(port: MessagePort): void {
    this.#watchers.add(port);
  }

  /** Throws an Error that is for people. */
  run(command: InspectionCommand): unknown {
    const inspector = this.#inspector;
    switch (command.name) {
      case "pause":
        if (!inspector.pause()) throw new Error("the machine has ended");
        return null;
      case "resume":
        return inspector.resume();
      case "step":
        if (inspector.state !== "paused") throw new Error("the machine is not paused");
        if (inspector.step(command.by)) return null;
        throw new Error("nothing to do: the machine waits for its clients");
      case "break":
        if (inspector.breakAt(command.breakpoints)) return null;
        throw new Error("too many breakpoints");
      default:
        return inspector.heapMap();
    }
  }
}
