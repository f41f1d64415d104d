// Messages between the process and the threads of its replicas. All of it is cloned, so that
// neither side holds objects of the other.
import type { Exit } from "../../exit.ts";
import type { LogLevel } from "../../log.ts";
import type { SharedDescriptor } from "../../node/sockets/shared-port.ts";
import type { CompiledSite } from "../../site/compile.ts";
import type { Command } from "../commands.ts";
import type { readImage } from "../image.ts";
import type { ServiceReport } from "../service/report.ts";
import type { Listed } from "../service/served.ts";
import type { Bound } from "../service/service.ts";
import type { InspectionData } from "./inspection-messages.ts";
import type { PostedBatch } from "./posted.ts";

/** A replica gets it when it begins. */
export interface ReplicaData {
  readonly command: Command;
  readonly image: ReturnType<typeof readImage>;
  /** A file of a snapshot; null: it boots. */
  readonly snapshot: Uint8Array | null;
  /** Settings and rules of the site; null: there is none. */
  readonly compiled: CompiledSite | null;
  /** A word that tells which entry into the guest is going on. */
  readonly presence: Int32Array;
  /** As ServiceParts has it. */
  readonly areNoted: boolean;
  readonly level: LogLevel;
  readonly isRetired: boolean;
  /** null: nobody inspects it. */
  readonly inspection: InspectionData | null;
}

/** Requests to a replica: the argument, and the answer. */
export interface Requests {
  /** Descriptors of the shared ports, each the replica's once it has claimed it. */
  take: [descriptors: readonly Pick<SharedDescriptor, "fd" | "claim">[], answer: null];
  retire: [isFinal: boolean, answer: null];
  unretire: [argument: null, answer: null];
  /** Answered when the last client is done. */
  drain: [argument: null, answer: null];
  /** Resets the clients that are left; their number. */
  reset: [argument: null, answer: number];
  reload: [argument: { command: Command; compiled: CompiledSite | null }, answer: null];
  level: [level: LogLevel, answer: null];
  report: [argument: null, answer: ServiceReport];
  live: [argument: null, answer: boolean];
  /** Why its guest takes no clients, or "". */
  fault: [argument: null, answer: string];
  connections: [most: number, answer: Listed];
  save: [path: string, answer: null];
  /** Ends the machine. The thread ends after the answer. */
  stop: [argument: null, answer: null];
  /** This much of its console has been written, in characters. */
  printed: [length: number, answer: null];
  /** This much of its access log has been taken, in bytes. */
  logged: [bytes: number, answer: null];
}

export interface Request<Name extends keyof Requests = keyof Requests> {
  readonly id: number;
  readonly name: Name;
  readonly argument: Requests[Name][0];
}

/** Messages of a replica. */
export type Message =
  /** `error`: "", or why there is no value. */
  | {
      readonly kind: "answer";
      readonly id: number;
      readonly value: unknown;
      readonly error: string;
    }
  /** Its guest listens: it can take descriptors of the ports. */
  | { readonly kind: "listens" }
  /** Clients are let in. */
  | { readonly kind: "open"; readonly bound: readonly Bound[] }
  | {
      readonly kind: "log";
      readonly level: LogLevel;
      readonly component: string;
      readonly message: string;
    }
  | { readonly kind: "console"; readonly text: string }
  | ({ readonly kind: "lines" } & PostedBatch)
  /** The guest has ended. The thread ends too. */
  | { readonly kind: "ended"; readonly exit: Exit; readonly report: ServiceReport }
  /** The machine could not be made: an exit code of the process; null: a fault of the host. */
  | { readonly kind: "failed"; readonly message: string; readonly code: number | null };
