// Messages between the inspector's pages, which are of the process, and the thread of a replica.
import type { MessagePort } from "node:worker_threads";
import type { Breakpoint } from "../../inspect/breakpoints.ts";
import type { InspectionCommand } from "../../inspect/commands.ts";
import type { Update } from "../../inspect/feed.ts";
import type { MachineView } from "../../inspect/inspector.ts";
import type { KickGate } from "../../inspect/kick-gate.ts";
import type { ServiceReport } from "../service/report.ts";
import type { Listed } from "../service/served.ts";

/** A replica gets it when it begins. */
export interface InspectionData {
  readonly gate: KickGate["shared"];
  readonly port: MessagePort;
  readonly breakpoints: readonly Breakpoint[];
}

/** All that a replica could be asked while it is stopped inside a kick, which it says before. */
export interface Held {
  readonly view: MachineView;
  readonly report: ServiceReport;
  readonly connections: Listed;
}

export type Asked = InspectionCommand | { readonly name: "view" } | { readonly name: "heap" };

export type ToReplica =
  /** It is answered. */
  | { readonly id: number; readonly asked: Asked }
  /** Nobody waits for these answers any more: the machine has stopped before it heard of them. */
  | { readonly cancelled: readonly number[] }
  | { readonly watch: boolean }
  /** The last update has been taken. */
  | { readonly shown: true }
  /** A trace begins. Its file goes over the port, until that is closed. */
  | { readonly trace: MessagePort; readonly names: boolean };

export type FromReplica =
  | { readonly id: number; readonly value: unknown }
  /** For people. */
  | { readonly id: number; readonly error: string }
  | { readonly update: Update }
  /** It stops inside a kick; null: it goes on. */
  | { readonly held: Held | null };

/** To the port of a trace: the end is wanted. The number of bytes that were taken is the other. */
export const END = "end";
