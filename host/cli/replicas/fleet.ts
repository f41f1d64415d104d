// Replicas of a service: machines in threads, which accept clients from the same ports. The process
// itself keeps the ports, the access log and the console, and replaces replicas that die.
import { setTimeout } from "node:timers/promises";
import type { Log, LogLevel } from "../../log.ts";
import type { SharedPort } from "../../node/sockets/shared-port.ts";
import { LOOKS_PER_LIMIT } from "../../node/stall.ts";
import type { CompiledSite } from "../../site/compile.ts";
import type { Command } from "../commands.ts";
import type { OptionName } from "../config/options.ts";
import { exitCode } from "../parts.ts";
import { type Check, checksOf, PATIENCE_MS } from "../service/health.ts";
import type { Inspected } from "../service/inspected.ts";
import type { LogOutput } from "../service/log-output.ts";
import type { Notify } from "../service/notify.ts";
import { mayReloadWith, noteRequests, reloaded } from "../service/reload.ts";
import { type Counts, combine, NO_COUNTS, type ServiceReport } from "../service/report.ts";
import { lastDeath, nextText } from "../service/restart.ts";
import type { Listed, Served } from "../service/served.ts";
import type { Bound } from "../service/service.ts";
import { addCounts } from "../service/totals.ts";
import { compileSite } from "../site.ts";
import { CliError, EXIT_UNAVAILABLE } from "../usage.ts";
import type { ReplicaData } from "./messages.ts";
import { countsOf, type Death, Replica, type ReplicaEvents } from "./replica.ts";
import { ReplicaMachine } from "./replica-machine.ts";

/** A replica whose numbers take longer is counted with those from before. */
const REPORT_MS = 250;
/** The end of a replica that has nothing to do takes no longer. */
const STOP_MS = 1000;

export interface FleetParts {
  readonly image: ReplicaData["image"];
  readonly snapshot: ReplicaData["snapshot"];
  readonly ports: readonly SharedPort[];
  readonly output: LogOutput; // of the access log
  readonly print: ReplicaEvents["print"];
  readonly notify: Notify;
  /** The first replica serves. */
  readonly opened: (bound: readonly Bound[]) => void;
  /** Threads that the end of the process has to wait for. */
  readonly threads: Set<unknown>;
  readonly log: Log;
  readonly logOf: (replica: number) => Log;
}

export class Fleet implements Served {
  #command: Command;
  readonly #parts: FleetParts;
  readonly #areNoted: boolean; // by the guests of all replicas, until the end
  readonly #replicas = new Set<Replica>(); // that live
  readonly #watch: NodeJS.Timeout | null;
  readonly #machines = new Map<number, ReplicaMachine>(); // the last of each number
  #compiled: CompiledSite | null;
  #past: Counts = NO_COUNTS; // of replicas that are gone
  #level: LogLevel;
  #openedBefore = 0;
  #isRetired = false;
  #isEnding = false; // the process does
  #isClosing = false; // nobody is let in any more

  /** Reads the rules of the site. Throws CliError. */
  constructor(command: Command, parts: FleetParts) {
    this.#command = command;
    this.#parts = parts;
    this.#level = command.logLevel;
    this.#areNoted = noteRequests(command);
    this.#compiled = compileSite(command, parts.log);
    const { watchdogMs } = command;
    this.#watch = watchdogMs === null ? null : this.#lookEvery(watchdogMs);
  }

  get command(): Command {
    return this.#command;
  }

  get isRetired(): boolean {
    return this.#isRetired;
  }

  get isReady(): boolean {
    return !this.#isRetired && this.#open.length > 0;
  }

  get #open(): Replica[] {
    return [...this.#replicas].filter(({ isOpen }) => isOpen);
  }

  /**
   * Keeps the replicas running. Rejects if the first ones cannot be made: CliError if that is the
   * user's fault.
   */
  async run(): Promise<never> {
    const slots = Array.from({ length: this.#command.replicas }, (_, i) => this.#keep(i + 1));
    await Promise.all(slots);
    return new Promise(() => {}); // they have ended because the service does
  }

  // ---- the life of a replica

  async #keep(number: number): Promise<void> {
    const log = this.#parts.logOf(number);
    const death = await lastDeath<Death>({
      live: () => this.#begin(number, log).died,
      isLast: (last) => this.#isClosing || (this.#openedBefore === 0 && isFault(last)),
      lost: (lost, pauseMs) => {
        tellDeath(lost, log);
        log("warn", "torito", nextText(pauseMs));
        this.#past = { ...this.#past, restarts: this.#past.restarts + 1 };
      },
    });
    if (this.#isClosing) return;
    if (death.kind === "broken") throw death.error;
    if (death.kind === "failed") throw faultOf(death);
  }

  #begin(number: number, log: Log): Replica {
    const { image, snapshot, threads } = this.#parts;
    const replica = this.#made(() => {
      const data = { command: this.#command, image, snapshot, compiled: this.#compiled };
      const areNoted = this.#areNoted;
      const state = { areNoted, level: this.#level, isRetired: this.#isRetired };
      const machine = this.#machineOf(number);
      return new Replica(number, { ...data, ...state }, machine, this.#events, log);
    });
    this.#replicas.add(replica);
    threads.add(replica);
    void replica.gone.then(() => threads.delete(replica));
    void replica.died.then(() => {
      this.#replicas.delete(replica);
      this.#past = addCounts(this.#past, countsOf(replica));
    });
    return replica;
  }

  /** Breakpoints outlive a machine. null: nobody inspects it. */
  #machineOf(number: number): ReplicaMachine | null {
    if (this.#command.admin?.inspects !== true) return null;
    const machine = new ReplicaMachine(this.#machines.get(number)?.breakpoints ?? []);
    if (this.#isEnding) machine.release();
    this.#machines.set(number, machine);
    return machine;
  }

  #made(make: () => Replica): Replica {
    try {
      return make();
    } catch (error) {
      const fault = (error as Error).message;
      const way = "replicas 1 does without";
      throw new CliError(`replicas: no thread can be started: ${fault}; ${way}`, EXIT_UNAVAILABLE);
    }
  }

  readonly #events: ReplicaEvents = {
    listens: (replica) => void this.#admit(replica),
    opened: (replica, bound) => {
      this.#openedBefore++;
      if (this.#openedBefore === 1) this.#parts.opened(bound);
      const { replicas } = this.#command;
      const serve = `replica ${replica.number} serves, ${this.#open.length} of ${replicas}`;
      this.#parts.log(this.#openedBefore < replicas ? "debug" : "info", "torito", serve);
    },
    print: (text) => this.#parts.print(text),
    lines: ({ bytes, lines }) => this.#parts.output.room(bytes.length, lines)?.append(bytes),
  };

  /** Gives it descriptors of the ports, which are its own once it has claimed them. */
  async #admit(replica: Replica): Promise<void> {
    const { ports } = this.#parts;
    const made = await Promise.allSettled(ports.map((port) => port.descriptor()));
    const descriptors = made.flatMap((one) => (one.status === "fulfilled" ? [one.value] : []));
    const failed = made.find((one) => one.status === "rejected");
    if (failed !== undefined || replica.isDead || this.#isClosing) {
      for (const descriptor of descriptors) descriptor.takeBack();
      replica.kill(failed === undefined ? "it is not needed" : `${failed.reason.message}`);
      return;
    }
    replica.tell(
      "take",
      descriptors.map(({ fd, claim }) => ({ fd, claim })),
    );
    await replica.died;
    for (const descriptor of descriptors) descriptor.takeBack(); // it may have died before
  }

  #lookEvery(limitMs: number): NodeJS.Timeout {
    const look = () => {
      for (const replica of this.#replicas) {
        const why = `watchdog: the guest has not returned for ${limitMs / 1000} s`;
        if (replica.isStuck()) replica.kill(why);
      }
    };
    return setInterval(look, limitMs / LOOKS_PER_LIMIT).unref();
  }

  // ---- what it is asked for

  /** One machine for each replica, and for those that take its place. */
  get inspected(): Inspected {
    return {
      count: this.#command.replicas,
      machine: (number) => {
        const replica = [...this.#replicas].find((one) => one.number === number);
        return replica?.machine ?? null;
      },
    };
  }

  setLevel(level: LogLevel): void {
    this.#level = level;
    for (const replica of this.#replicas) replica.tell("level", level);
  }

  /** A restart would take a machine that is stopped in a kick from whoever looks at it. */
  async isLive(): Promise<boolean> {
    const answers = [...this.#replicas].map(
      async (one) => one.held !== null || one.ask("live", null, 2 * PATIENCE_MS),
    );
    return anyOf(answers, (answer) => answer === true);
  }

  async checks(): Promise<readonly Check[]> {
    const connections = this.report().then(({ gauges: { open, most } }) => ({
      open,
      most: most === 0 ? this.#command.connections : most,
    }));
    return checksOf(this.#command, this.#isRetired, this.#guestFault(), connections);
  }

  /** One replica that takes clients is enough. */
  async #guestFault(): Promise<string> {
    const answers = this.#open.map(async (one) =>
      one.held === null
        ? one.ask("fault", null, PATIENCE_MS)
        : "the inspector has stopped it in a kick",
    );
    if (answers.length === 0) return "no replica listens yet";
    if (await anyOf(answers, (fault) => fault === "")) return "";
    const [only] = answers.length === 1 ? await Promise.all(answers) : [];
    return only ?? `none of ${answers.length} replicas accepts`;
  }

  async report(): Promise<ServiceReport> {
    await Promise.all([...this.#replicas].map((one) => one.report(REPORT_MS)));
    // One that has died in the meantime is among the past.
    const reports = [...this.#replicas].flatMap(({ last }) => (last === null ? [] : [last]));
    const sum = combine(reports, this.#past, this.#command.replicas);
    const dropped = sum.counts.dropped + this.#parts.output.dropped;
    return { ...sum, counts: { ...sum.counts, dropped }, isRetired: this.#isRetired };
  }

  async connections(most: number): Promise<Listed> {
    const asked = this.#open.map(async (replica) => {
      const stopped = replica.held?.connections;
      const listed = stopped ?? (await replica.ask("connections", most, PATIENCE_MS));
      const { total = 0, connections = [] } = listed ?? {};
      const { number } = replica;
      return { total, connections: connections.map((one) => ({ ...one, replica: number })) };
    });
    const all = await Promise.all(asked);
    return {
      total: all.reduce((sum, { total }) => sum + total, 0),
      connections: all.flatMap(({ connections }) => connections).slice(0, most),
    };
  }

  /** One of the replicas, which are all alike. */
  async save(path: string): Promise<void> {
    const replica = this.#open.find(({ held }) => held === null);
    if (replica === undefined) throw new Error("no replica can be saved now");
    await replica.ask("save", path);
    if (replica.isDead) throw new Error("the replica has died meanwhile");
  }

  mayReload(name: OptionName): boolean {
    return mayReloadWith(this.#areNoted, name);
  }

  /**
   * Settings and rules are read once, for all: no replica can fail alone. Resolves when those that
   * answer have taken them.
   */
  async reload(next: Command): Promise<void> {
    const command = reloaded(this, next);
    const opened = this.#parts.output.change(command.accessLog.path);
    const site = this.#compiled === null ? null : next.site;
    try {
      this.#compiled = compileSite({ ...this.#command, site }, this.#parts.log, this.#compiled);
    } catch (error) {
      opened.cancel();
      throw error;
    }
    // Replicas hand over the lines of the file before with their answers.
    const { isOpen } = this.#parts.output;
    if (!isOpen) opened.commit();
    this.#command = command;
    const compiled = this.#compiled;
    await Promise.all(
      [...this.#replicas].map(async (replica) => {
        try {
          await replica.ask("reload", { command, compiled }, PATIENCE_MS);
        } catch (error) {
          replica.kill(`it does not take new settings: ${(error as Error).message}`);
        }
      }),
    );
    if (isOpen) opened.commit();
  }

  // ---- the end

  retire(isFinal = true): void {
    this.#isRetired = true;
    if (isFinal) this.#release();
    this.#parts.notify(...(isFinal ? ["STOPPING=1"] : []), "STATUS=draining");
    for (const replica of this.#replicas) replica.tell("retire", isFinal);
  }

  unretire(): void {
    this.#isRetired = false;
    this.#parts.notify("STATUS=serving");
    for (const replica of this.#replicas) replica.tell("unretire", null);
  }

  /** The last replica that closes its descriptors closes the ports: nobody else has any by then. */
  async drain(): Promise<void> {
    this.#close();
    await Promise.all(this.#open.map((one) => one.ask("drain", null)));
  }

  async reset(): Promise<number> {
    const asked = [...this.#replicas].map((one) => one.ask("reset", null, PATIENCE_MS));
    return (await Promise.all(asked)).reduce<number>((sum, clients) => sum + (clients ?? 0), 0);
  }

  /** Ends all threads, and resolves when they are gone or hang. All log lines are written then. */
  async dispose(): Promise<void> {
    this.#close();
    if (this.#watch !== null) clearInterval(this.#watch);
    await Promise.all(
      [...this.#replicas].map(async (replica) => {
        await replica.ask("stop", null, STOP_MS);
        await Promise.race([replica.gone, setTimeout(STOP_MS)]);
        replica.kill("the service ends");
      }),
    );
    await this.#parts.output.flushed();
  }

  /** A machine that is stopped in a kick does not drain. */
  #release(): void {
    this.#isEnding = true;
    for (const machine of this.#machines.values()) machine.release();
  }

  #close(): void {
    if (this.#isClosing) return;
    this.#isClosing = true;
    this.#release();
    for (const port of this.#parts.ports) port.close();
    for (const replica of this.#replicas) {
      if (!replica.isOpen) replica.kill("it is not needed");
    }
  }
}

/** There was no machine at all. */
const isFault = ({ kind }: Death): boolean => kind === "failed" || kind === "broken";

const faultOf = ({ message, code }: Death & { kind: "failed" }): Error =>
  code === null ? new Error(message) : new CliError(message, code);

function tellDeath(death: Death, log: Log): void {
  if (death.kind === "killed") log("error", "torito", death.why);
  else if (death.kind === "broken") {
    log("error", "torito", `a fault of the host: ${death.error.stack}`);
  } else if (death.kind === "failed") log("error", "torito", death.message);
  else if (death.exit.kind === "panic") exitCode(death.exit, log);
  else if (death.exit.kind === "power-off") {
    log("error", "torito", `the guest has powered off with code ${death.exit.code}`);
  }
}

/** Resolves as soon as one is as wanted, or none of them. */
function anyOf<Answer>(
  answers: readonly Promise<Answer>[],
  isWanted: (answer: Answer) => boolean,
): Promise<boolean> {
  return new Promise((resolve) => {
    const looked = answers.map(async (answer) => {
      if (isWanted(await answer)) resolve(true);
    });
    void Promise.allSettled(looked).then(() => resolve(false));
  });
}
