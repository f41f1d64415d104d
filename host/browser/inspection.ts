// The inspector of a Worker's machine, which is loaded when a page first asks for it.
import { Inspector, type InspectorOptions } from "../inspect/inspector.ts";
import { KickGate } from "../inspect/kick-gate.ts";
import { Watchers } from "./watchers.ts";
import type { InspectionCommand, Shared } from "./worker-protocol.ts";

export class Inspection {
  readonly #inspector: Inspector;
  readonly #watchers: Watchers;

  /** `held`: the machine is stopped inside a kick, or goes on. */
  constructor(options: InspectorOptions, shared: Shared | null, held: (isHeld: boolean) => void) {
    this.#inspector = new Inspector({
      ...options,
      ...(shared !== null && { gate: new KickGate(shared) }),
      held: (isHeld) => {
        held(isHeld);
        if (isHeld) this.#watchers.showNow();
      },
    });
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
        if (command.by === "kick") throw new Error("it cannot stop inside a turn");
        throw new Error("nothing to do: the machine waits for its clients");
      case "break":
        if (inspector.breakAt(command.breakpoints)) return null;
        throw new Error("too many breakpoints");
      default:
        return inspector.heapMap();
    }
  }
}
