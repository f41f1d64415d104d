// The inspector of a Worker's machine, which is loaded when a page first asks for it.
import { carryOut } from "../inspect/commands.ts";
import type { HeapMap } from "../inspect/heap.ts";
import { Inspector, type InspectorOptions } from "../inspect/inspector.ts";
import { KickGate } from "../inspect/kick-gate.ts";
import { Watchers } from "./watchers.ts";
import type { ForInspector, Shared } from "./worker-protocol.ts";

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
  run(command: ForInspector): HeapMap | null {
    if (command.name === "heap") return this.#inspector.heapMap();
    carryOut(this.#inspector, command);
    return null;
  }
}
