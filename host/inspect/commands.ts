// Commands to a machine from whoever looks at it, in its own thread or in another.
import type { Breakpoint } from "./breakpoints.ts";
import type { Inspector, StepBy } from "./inspector.ts";
import type { GateOrder } from "./kick-gate.ts";

export type InspectionCommand =
  | { readonly name: "pause" | "resume" }
  | { readonly name: "step"; readonly by: StepBy }
  | { readonly name: "break"; readonly breakpoints: readonly Breakpoint[] };

/** In the machine's thread. Throws an Error that is for people: the machine does not do it now. */
export function carryOut(inspector: Inspector, command: InspectionCommand): void {
  switch (command.name) {
    case "pause":
      if (!inspector.pause()) throw new Error("the machine has ended, or is about to");
      return;
    case "resume":
      inspector.resume();
      return;
    case "step":
      if (inspector.state !== "paused") throw new Error("the machine is not paused");
      if (inspector.step(command.by)) return;
      if (command.by === "kick") throw new Error("it cannot stop inside a turn");
      throw new Error("nothing to do: the machine waits for its clients");
    default:
      if (!inspector.breakAt(command.breakpoints)) throw new Error("too many breakpoints");
  }
}

/**
 * Of a machine that is stopped inside a kick, and hears nothing but an order: the one that does
 * what the command says. A step ends the turn. null: none does.
 */
export function orderOf(command: InspectionCommand): GateOrder | null {
  switch (command.name) {
    case "pause":
      return "turn";
    case "resume":
      return "run";
    case "step":
      return command.by === "kick" ? "kick" : "turn";
    default:
      return null;
  }
}
