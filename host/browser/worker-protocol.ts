// Messages between a page and the Worker of its machine. Both are ours.
import type { InspectionCommand } from "../inspect/commands.ts";
import type { MachineView } from "../inspect/inspector.ts";
import type { TraceEvent } from "../trace/event.ts";

/** A machine that a Worker boots: WebServer, or another image that needs no other devices. */
export interface WorkerMachineOptions {
  /** The guest's bytes, which are copied. */
  readonly image: Uint8Array | ArrayBuffer;
  /** As text: panics then show positions in the sources. */
  readonly sourceMap?: string;
  /** A tar archive of the directory that the guest mounts; default: an empty one. */
  readonly files?: Uint8Array | ArrayBuffer;
  /** The tag under which it does; default: "site". */
  readonly tag?: string;
  /** Default: `root=` and the tag. */
  readonly parameters?: string;
  /** Default: 16 MiB. */
  readonly memoryBytes?: number;
  /** Ports of the guest that clients may connect to; default: 80. */
  readonly ports?: readonly number[];
  /** Ports of the host that the page answers for, when the guest connects; default: none. */
  readonly hostPorts?: readonly number[];
}

/** A KickGate's; null: the page is not isolated, so it shares nothing with its Worker. */
export type Shared = SharedArrayBuffer;

/** Commands of a page, each of which is answered. */
export type Command =
  | { readonly name: "boot"; readonly options: WorkerMachineOptions; readonly gate: Shared | null }
  | { readonly name: "listening"; readonly port: number }
  | { readonly name: "dispose" }
  | ForInspector;

/** Those that the inspector answers. */
export type ForInspector = InspectionCommand | { readonly name: "heap" };

export type ToWorker =
  | { readonly id: number; readonly command: Command }
  /** With the other end of a port. */
  | { readonly attach: "switchboard" | "watcher" };

export type FromWorker =
  | { readonly id: number; readonly result: unknown }
  | { readonly id: number; readonly error: string }
  | { readonly console: string }
  | { readonly ended: Ended }
  /** The guest connects to a port of the host; with the other end. */
  | { readonly reached: number };

/** Exit of Machine; or the host failed, which is a fault of torito. */
export type Ended =
  | import("../exit.ts").Exit
  | { readonly kind: "fault"; readonly message: string };

/** To a watcher's port, which answers WATCHED when it has drawn it. */
export interface WatchMessage {
  readonly view: MachineView;
  readonly events: readonly TraceEvent[];
  readonly lost: number;
}

export const WATCHED = "watched";

/** An end in words. */
export function endText(ended: Ended): string {
  switch (ended.kind) {
    case "panic": {
      const { message, file, line, column } = ended;
      return `panic: ${message}${file === "" ? "" : `\n    at ${file}:${line}:${column}`}`;
    }
    case "power-off":
      return `the guest powered off with code ${ended.code}`;
    case "disposed":
      return "the machine was disposed of";
    default:
      return `torito failed: ${ended.message}`;
  }
}
