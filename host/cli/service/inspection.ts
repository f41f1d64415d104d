// The inspector's pages on the admin listener: the page itself, a machine as JSON, its events as
// they happen, and the commands that stop it; with `?machine=N` those of the Nth. They show lengths
// and headers, and never payload.
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { setTimeout } from "node:timers/promises";
import { BREAKPOINTS_MAX, type Breakpoint, readBreakpoint } from "../../inspect/breakpoints.ts";
import type { InspectionCommand } from "../../inspect/commands.ts";
import type { StepBy } from "../../inspect/inspector.ts";
import { PACKAGE_FOLDER } from "../../node/package.ts";
import { type Inspected, type InspectedMachine, Unavailable } from "./inspected.ts";
import { InspectionStream } from "./inspection-stream.ts";
import { sendTrace } from "./inspection-trace.ts";

const ROOT = "/inspect";
const READ = ["machines", "state", "heap", "events", "trace"];
const COMMANDS = ["pause", "resume", "step", "break"];
const STEPS = ["turn", "thread", "kick"];
const TRACE_SECONDS = 5;
const TRACE_SECONDS_MAX = 600;
/** Events and traces at a time. Each has a connection of the listener to itself. */
const STREAMS_MAX = 12;
/** At the end a client has this time to take what is left of its trace. */
const END_MS = 1000;
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
  readonly #inspected: Inspected;
  readonly #mayName: boolean;
  readonly #feeds = new Map<number, InspectionStream>(); // of machines that somebody watches
  readonly streamsMax = STREAMS_MAX;
  #streams = 0;
  readonly #traces = new Map<ServerResponse, () => void>(); // what ends each of them

  /** `mayName`: are paths and names of files, which are the users', in traces that ask for them? */
  constructor(inspected: Inspected, mayName = false) {
    this.#inspected = inspected;
    this.#mayName = mayName;
  }

  /** The page, its files, and a machine as it is now; null: there is no such page. */
  async page(url: URL): Promise<InspectionAnswer | null> {
    const { pathname } = url;
    if (pathname === ROOT) return file("index.html");
    const name = pathname.slice(ROOT.length + 1);
    if (PAGE_FILE.test(name)) return file(name);
    if (name === "machines") return json(200, { machines: await this.#list() });
    if (name === "state") return this.#ask(url, async (machine) => json(200, await machine.look()));
    if (name !== "heap") return null;
    return this.#ask(url, async (machine) => json(200, await machine.heapMap()));
  }

  /**
   * Writes to the response until its client leaves: a machine and its events, or a trace of the
   * next seconds. null: it does; otherwise why not. undefined: it is another page.
   */
  follow(url: URL, response: ServerResponse): InspectionAnswer | null | undefined {
    const { pathname, searchParams } = url;
    const isTrace = pathname === `${ROOT}/trace`;
    if (!isTrace && pathname !== `${ROOT}/events`) return undefined;
    if (this.#streams >= STREAMS_MAX) return refused(503, `${STREAMS_MAX} look already`);
    const number = this.#numberIn(url);
    if (number === null) return this.#noNumber();
    if (!isTrace) {
      this.#feed(number).add(response);
    } else {
      const machine = this.#inspected.machine(number);
      const seconds = Number(searchParams.get("seconds") ?? TRACE_SECONDS);
      if (machine === null) return absent();
      if (!(seconds > 0 && seconds <= TRACE_SECONDS_MAX)) {
        return refused(400, `seconds: more than 0, and ${TRACE_SECONDS_MAX} at most`);
      }
      const names = searchParams.get("names") ?? "0";
      if (!/^[01]$/.test(names)) return refused(400, "names: 0 or 1");
      if (names === "1" && !this.#mayName) {
        return refused(403, "names are users': the service has to be started with --inspect-names");
      }
      this.#traces.set(response, sendTrace(machine, response, seconds, names === "1"));
    }
    this.#streams++;
    response.on("close", () => {
      this.#streams--;
      this.#traces.delete(response);
    });
    return null;
  }

  /** Is it a page, which is only read? */
  has(path: string): boolean {
    const name = path.slice(ROOT.length + 1);
    return path === ROOT || (path.startsWith(`${ROOT}/`) && READ.includes(name));
  }

  readonly commands: readonly string[] = COMMANDS.map((name) => `${ROOT}/${name}`);

  /** One of the commands. */
  async command(url: URL, request: IncomingMessage, body: unknown): Promise<InspectionAnswer> {
    const name = url.pathname.slice(ROOT.length + 1);
    if (!isOwnPage(request)) return refused(403, "commands come from the inspector's own page");
    return this.#ask(url, async (machine) => {
      const wrong = faultOf(name, body);
      if (wrong !== "") return refused(400, wrong);
      return json(202, { state: await machine.command(commandOf(name, body)) });
    });
  }

  /** Ends what is followed, and resolves when clients have their traces or are slow. */
  async close(): Promise<void> {
    for (const feed of this.#feeds.values()) feed.close();
    const sent = [...this.#traces.keys()].map((response) => once(response, "close"));
    for (const end of this.#traces.values()) end();
    await Promise.race([Promise.allSettled(sent), setTimeout(END_MS, undefined, { ref: false })]);
  }

  // ---- which machine

  /** null: there is none of that number. */
  #numberIn({ searchParams }: URL): number | null {
    const word = searchParams.get("machine") ?? "1";
    const isNumber = /^[1-9]\d{0,2}$/.test(word) && Number(word) <= this.#inspected.count;
    return isNumber ? Number(word) : null;
  }

  #noNumber(): InspectionAnswer {
    return refused(400, `machine: 1 to ${this.#inspected.count}`);
  }

  async #ask(
    url: URL,
    ask: (machine: InspectedMachine) => Promise<InspectionAnswer>,
  ): Promise<InspectionAnswer> {
    const number = this.#numberIn(url);
    if (number === null) return this.#noNumber();
    const machine = this.#inspected.machine(number);
    if (machine === null) return absent();
    return ask(machine).catch(refusal);
  }

  /** The machines, with the state of each; null: there is none of that number at the moment. */
  #list(): Promise<object[]> {
    const numbers = Array.from({ length: this.#inspected.count }, (_, i) => i + 1);
    return Promise.all(
      numbers.map(async (machine) => {
        const view = await this.#inspected
          .machine(machine)
          ?.look()
          .catch(() => null);
        return { machine, state: view?.state ?? null };
      }),
    );
  }

  #feed(number: number): InspectionStream {
    const feed = this.#feeds.get(number);
    if (feed !== undefined) return feed;
    const made = new InspectionStream(() => this.#inspected.machine(number));
    this.#feeds.set(number, made);
    return made;
  }
}

function absent(): InspectionAnswer {
  return refused(503, "there is no machine at the moment");
}

const refusal = (error: Error): InspectionAnswer =>
  refused(error instanceof Unavailable ? 503 : 409, error.message);

interface CommandBody {
  readonly by: StepBy;
  readonly breakpoints: readonly Breakpoint[];
}

/** Says what is wrong with a command, whatever the machine does; "": nothing. */
function faultOf(name: string, body: unknown): string {
  const { by, breakpoints } = (body ?? {}) as Record<string, unknown>;
  if (name === "step" && !STEPS.includes(by as string)) return "by: turn, thread or kick";
  if (name !== "break") return "";
  if (!Array.isArray(breakpoints) || breakpoints.map(readBreakpoint).includes(null)) {
    return "breakpoints: a list of breakpoints";
  }
  return breakpoints.length > BREAKPOINTS_MAX ? `${BREAKPOINTS_MAX} breakpoints at most` : "";
}

function commandOf(name: string, body: unknown): InspectionCommand {
  const { by, breakpoints } = (body ?? {}) as CommandBody;
  if (name === "step") return { name, by };
  return name === "break" ? { name, breakpoints } : { name: name as "pause" | "resume" };
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
