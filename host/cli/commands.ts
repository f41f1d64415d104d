// The commands of torito, as the command line and the settings describe them.

import type { LogFormat, LogLevel } from "../log.ts";
import type { NodeSocketsOptions } from "../node/sockets/node-sockets.ts";
import type { SiteSettings } from "../site/settings.ts";
import type { Effective } from "./config/effective.ts";
import type { NetSettings } from "./net/settings.ts";
import type { CaptureFileSettings, CaptureSettings, TraceSettings } from "./recording.ts";
import type { AccessLogSettings } from "./service/access-log.ts";
import type { AdminAddress } from "./service/admin-address.ts";
import type { Publish, Volume } from "./values.ts";

export type { Publish, Volume } from "./values.ts";

/** Options of a machine. */
export interface MachineCommand {
  readonly publish: readonly Publish[];
  readonly volumes: readonly Volume[];
  /** Paths of modules that make devices of one's own. */
  readonly devices: readonly string[];
  readonly connect: ReadonlyMap<number, { readonly host: string; readonly port: number }>;
  readonly seqpacket: readonly number[];
  readonly memoryBytes: number;
  /** Of each volume; 0: none. */
  readonly windowBytes: number;
  readonly cid: number;
  /** null: none. */
  readonly watchdogMs: number | null;
  readonly logFormat: LogFormat;
  readonly logLevel: LogLevel;
  readonly parameters: string;
}

export interface AdminSettings {
  readonly address: AdminAddress;
  readonly names: readonly string[];
  /** null: none. */
  readonly snapshotPath: string | null;
  /** Does it show the machine? */
  readonly inspects: boolean;
  /** May traces of the inspector have names of files? */
  readonly showsNames: boolean;
}

/** The work of `torito snapshot`. */
export interface Save {
  readonly path: string;
  /** Requests that warm the guest up before. */
  readonly after: readonly { readonly method: string; readonly path: string }[];
}

export interface Command extends MachineCommand {
  readonly kind: "run";
  /** A folder's name or the path of an image. */
  readonly app: string;
  /** At a time. */
  readonly connections: number;
  /** Streams of the host. */
  readonly sockets: NonNullable<NodeSocketsOptions["kind"]>;
  /** null: none. */
  readonly vsockPath: string | null;
  /** null: no card. */
  readonly net: NetSettings | null;
  /** null: none. */
  readonly capture: CaptureSettings | null;
  /** Of the card; null: none. */
  readonly netCapture: CaptureFileSettings | null;
  /** null: none. */
  readonly trace: TraceSettings | null;
  readonly stats: boolean;
  /** The machine goes on from this snapshot; null: it boots. */
  readonly restorePath: string | null;
  /** The machine is saved, and that is all; null: it runs. */
  readonly save: Save | null;
  /** Machines of a pool that has one for each connection; null: one machine for all. */
  readonly machines: number | null;
  /** null: none. */
  readonly timeoutMs: number | null;
  /** How long a service goes on after it was told to end, and its clients may take then. */
  readonly lameDuckMs: number;
  readonly graceMs: number;
  /** Do clients come through trusted proxies alone, with a PROXY header? */
  readonly isProxied: boolean;
  /** Machines that share the published ports. */
  readonly replicas: number;
  /** Has each a thread of its own? */
  readonly areThreads: boolean;
  /** Is a machine that panics replaced? */
  readonly restarts: boolean;
  /** null: none. */
  readonly readyFd: number | null;
  readonly accessLog: AccessLogSettings;
  /** null: none. */
  readonly admin: AdminSettings | null;
  /** Of WebServer; null: the application is another one, or gets none. */
  readonly site: SiteSettings | null;
  /** The command is carried out; or its settings are only tested, or printed. */
  readonly act: "run" | "check" | "print";
  /** The settings that hold, and whence. */
  readonly settings: readonly Effective[];
}

export interface DevCommand extends MachineCommand {
  readonly kind: "dev";
  /** null: the project around the working directory. */
  readonly target: string | null;
  /** null: no card. */
  readonly net: NetSettings | null;
}

export interface BuildCommand {
  readonly kind: "build";
  readonly target: string | null;
  /** null: in build/ of the project. */
  readonly output: string | null;
  readonly logFormat: LogFormat;
}

export interface TestCommand extends MachineCommand {
  readonly kind: "test";
  /** Files and folders of tests; none: all of the project. */
  readonly names: readonly string[];
  /** Only tests whose names contain it; null: all. */
  readonly filter: string | null;
  readonly watch: boolean;
  readonly coverage: boolean;
}

export interface NewCommand {
  readonly kind: "new";
  readonly directory: string;
  readonly template: string;
  readonly force: boolean;
}

export interface InspectCommand {
  readonly kind: "inspect";
  readonly path: string;
}

export interface PrecompressCommand {
  readonly kind: "precompress";
  readonly directory: string;
}

export interface CheckCommand {
  readonly kind: "check";
  readonly url: string;
}

export interface TopCommand {
  readonly kind: "top";
  readonly url: string;
}

export interface HelpCommand {
  readonly kind: "help";
  /** null: of all commands. */
  readonly verb: string | null;
}

export type Invocation =
  | Command
  | DevCommand
  | BuildCommand
  | TestCommand
  | NewCommand
  | InspectCommand
  | PrecompressCommand
  | CheckCommand
  | TopCommand
  | HelpCommand
  | { readonly kind: "version" };
