// The inspector's pages on the admin listener: the page itself, the machine as JSON, its events as
// they happen, and the commands that stop it. They show lengths and headers, and never payload.
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { BREAKPOINTS_MAX, type Breakpoint, readBreakpoint } from "../../inspect/breakpoints.ts";
import type { Inspector, StepBy } from "../../inspect/inspector.ts";
import { PACKAGE_FOLDER } from "../../node/package.ts";
import { InspectionStream } from "./inspection-stream.ts";
import { sendTrace } from "./inspection-trace.ts";

const ROOT = "/inspect";
const READ = ["state", "heap", "events", "trace"];
const COMMANDS = ["pause", "resume", "step", "break"];
const STEPS = ["turn", "thread", "kick"];
const TRACE_SECONDS = 5;
const TRACE_SECONDS_MAX = 600;
/** Events and traces at a time. Each has a connection of the listener to itself. */
const STREAMS_MAX = 12;
const TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
};
/** Names of the page's own files. */
const PAGE_FILE = /^[a-z-]+\.(js|css)$/;

export interface InspectionAnswer {
  readonly status: number;
  readonly type?: string;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const SECURITY = {
  "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
  "Referrer-Policy": "no-referrer",
};

const json = (status: number, value: unknown): InspectionAnswer => ({
  status,
  type: "application/json",
  body: `${JSON.stringify(value)}\n`,
});
const refused = (status: number, error: string) => json(status, { error });

export class InspectionPages {
  readonly #machine: () => Inspector | null;
  readonly #mayName: boolean;
  readonly #stream: InspectionStream;
  readonly streamsMax = STREAMS_MAX;
  #streams = 0;

  /**
   * `machine`: the one that runs now; null: there is none, for the moment. `mayName`: are paths and
   * names of files, which are the users', in traces that ask for them?
   */
  constructor(machine: () => Inspector | null, mayName = false) {
    this.#machine = machine;
    this.#mayName = mayName;
    this.#stream = new InspectionStream(machine);
  }

  /** The page, its files, and the machine as it is now; null: there is no such page. */
  page(path: string): InspectionAnswer | null {
    if (path === ROOT) return file("index.html");
    const name = path.slice(ROOT.length + 1);
    if (PAGE_FILE.test(name)) return file(name);
    const machine = this.#machine();
    if (name === "state") return machine === null ? absent() : json(200, machine.view());
    if (name === "heap") return machine === null ? absent() : json(200, machine.heapMap());
    return null;
  }

  /**
   * Writes to the response until its client leaves: the machine and its events, or a trace of the
   * next seconds. null: it does; otherwise why not. undefined: it is another page.
   */
  follow(
    { pathname, searchParams }: URL,
    response: ServerResponse,
  ): InspectionAnswer | null | undefined {
    const isTrace = pathname === `${ROOT}/trace`;
    if (!isTrace && pathname !== `${ROOT}/events`) return undefined;
    if (this.#streams >= STREAMS_MAX) return refused(503, `${STREAMS_MAX} look already`);
    const machine = this.#machine();
    const seconds = Number(searchParams.get("seconds") ?? TRACE_SECONDS);
    if (isTrace && machine === null) return absent();
    if (isTrace && !(seconds > 0 && seconds <= TRACE_SECONDS_MAX)) {
      return refused(400, `seconds: more than 0, and ${TRACE_SECONDS_MAX} at most`);
    }
    const names = searchParams.get("names") ?? "0";
    if (isTrace && !/^[01]$/.test(names)) return refused(400, "names: 0 or 1");
    if (isTrace && names === "1" && !this.#mayName) {
      return refused(403, "names are users': the service has to be started with --inspect-names");
    }
    this.#streams++;
    response.on("close", () => {
      this.#streams--;
    });
    if (isTrace && machine !== null) sendTrace(machine, response, seconds, names === "1");
    else this.#stream.add(response);
    return null;
  }

  /** Is it a page, which is only read? */
  has(path: string): boolean {
    const name = path.slice(ROOT.length + 1);
    return path === ROOT || (path.startsWith(`${ROOT}/`) && READ.includes(name));
  }

  readonly commands: readonly string[] = COMMANDS.map((name) => `${ROOT}/${name}`);

  /** One of the commands. */
  command(path: string, request: IncomingMessage, body: unknown): InspectionAnswer {
    const name = path.slice(ROOT.length + 1);
    if (!isOwnPage(request)) return refused(403, "commands come from the inspector's own page");
    const machine = this.#machine();
    if (machine === null) return absent();
    const wrong = faultOf(name, body);
    if (wrong !== "") return refused(400, wrong);
    const error = run(machine, name, body);
    return error === "" ? json(202, { state: machine.state }) : refused(409, error);
  }

  close(): void {
    this.#stream.close();
  }
}

function absent(): InspectionAnswer {
  return refused(503, "there is no machine at the moment");
}

interface CommandBody {
  readonly by: StepBy;
  readonly breakpoints: readonly Breakpoint[];
}

/** Says what is wrong with a command, whatever the machine does; "": nothing. */
function faultOf(name: string, body: unknown): string {
  const { by, breakpoints } = (body ?? {}) as Record<string, unknown>;
  if (name === "step" && !STEPS.includes(by as string)) return "by: turn or thread";
  if (name !== "break") return "";
  if (!Array.isArray(breakpoints) || breakpoints.map(readBreakpoint).includes(null)) {
    return "breakpoints: a list of breakpoints";
  }
  return breakpoints.length > BREAKPOINTS_MAX ? `${BREAKPOINTS_MAX} breakpoints at most` : "";
}

/** Returns why the machine does not do it now, or "". */
function run(machine: Inspector, name: string, body: unknown): string {
  const { by, breakpoints } = (body ?? {}) as CommandBody;
  switch (name) {
    case "pause":
      return machine.pause() ? "" : "the machine has ended, or is about to";
    case "resume":
      machine.resume();
      return "";
    case "step":
      if (by === "kick") return "its thread serves this page as well, and may not block in a kick";
      if (machine.state !== "paused") return "the machine is not paused";
      return machine.step(by) ? "" : "nothing to do: the machine waits for its clients";
    default:
      machine.breakAt(breakpoints);
      return "";
  }
}

/**
 * A browser says of a request where it comes from. Other clients say nothing, and may command: they
 * are programs of somebody who can reach the listener.
 */
function isOwnPage({ headers }: IncomingMessage): boolean {
  const { origin, host } = headers;
  const site = headers["sec-fetch-site"];
  if (site !== undefined && site !== "same-origin") return false;
  return origin === undefined || origin === `http://${host}`;
}

/** A file of the page, which is part of the package. */
function file(name: string): InspectionAnswer {
  const extension = name.slice(name.lastIndexOf(".") + 1);
  const folder = extension === "js" ? "dist/web/inspector" : "web/inspector";
  try {
    const body = readFileSync(`${PACKAGE_FOLDER}${folder}/${name}`, "utf8");
    return { status: 200, type: TYPES[extension] as string, body, headers: SECURITY };
  } catch {
    return refused(404, "no such file of the page");
  }
}
