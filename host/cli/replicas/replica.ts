// A replica, as the process sees it: a thread that it asks, and that may die.
import { setTimeout } from "node:timers";
import { Worker } from "node:worker_threads";
import type { Exit } from "../../exit.ts";
import type { Log } from "../../log.ts";
import { PACKAGE_FOLDER } from "../../node/package.ts";
import { Stall } from "../../node/stall.ts";
import { NO_COUNTS, type ServiceReport } from "../service/report.ts";
import type { Bound } from "../service/service.ts";
import type { Held } from "./inspection-messages.ts";
import type { Message, ReplicaData, Requests } from "./messages.ts";
import type { PostedBatch } from "./posted.ts";
import type { ReplicaMachine } from "./replica-machine.ts";

const WORKER = `${PACKAGE_FOLDER}dist/host/cli/replicas/replica-worker.js`;

/**
 * How a replica has ended. `failed`: its machine could not be made; `code` as in Message. `broken`:
 * an error of its thread.
 */
export type Death =
  | { readonly kind: "exit"; readonly exit: Exit }
  | { readonly kind: "failed"; readonly message: string; readonly code: number | null }
  | { readonly kind: "broken"; readonly error: Error }
  | { readonly kind: "killed"; readonly why: string };

/** Whom a replica tells of its events. */
export interface ReplicaEvents {
  /** Its guest listens: it can take descriptors. */
  listens(replica: Replica): void;
  /** It serves. */
  opened(replica: Replica, bound: readonly Bound[]): void;
  /** Writes whole lines of its console. Returns a promise if the reader is slow. */
  print(text: string): Promise<void> | undefined;
  /** Lines of the access log. */
  lines(batch: PostedBatch): void;
}

/** Someone waits for an answer; null: there is none. */
type Waiting = (answer: { readonly value: unknown; readonly error: string } | null) => void;

export class Replica {
  /** From 1 on; a replacement has the same. */
  readonly number: number;
  /** For the inspector's pages; null: nobody inspects it. */
  readonly machine: ReplicaMachine | null;
  /** Never rejects. Nothing is heard of it after that. */
  readonly died: Promise<Death>;
  /** Resolves when its thread is gone, which a disk that hangs delays. */
  readonly gone: Promise<void>;
  isDead = false;
  /** Does it serve? */
  isOpen = false;
  /** As of the last time that it was heard of. */
  last: ServiceReport | null = null;
  readonly #worker: Worker;
  readonly #events: ReplicaEvents;
  readonly #log: Log;
  readonly #stall: Stall;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #end: (death: Death) => void = () => {};

  /** Throws if there can be no thread. */
  constructor(
    number: number,
    data: Omit<ReplicaData, "presence" | "inspection">,
    machine: ReplicaMachine | null,
    events: ReplicaEvents,
    log: Log,
  ) {
    const presence = new Int32Array(new SharedArrayBuffer(4));
    const inspection = machine?.data ?? null;
    const workerData: ReplicaData = { ...data, presence, inspection };
    this.machine = machine;
    this.number = number;
    this.#events = events;
    this.#log = log;
    this.#stall = new Stall(presence);
    this.#worker = new Worker(WORKER, {
      workerData,
      transferList: inspection === null ? [] : [inspection.port],
      name: `replica ${number}`,
    });
    this.died = new Promise((resolve) => {
      this.#end = resolve;
    });
    this.gone = new Promise((resolve) => {
      this.#worker.on("exit", () => {
        this.#die({ kind: "killed", why: "its thread has ended" });
        resolve();
      });
    });
    this.#worker.on("message", (message: Message) => this.#heard(message));
    this.#worker.on("error", (error) => this.#die({ kind: "broken", error }));
  }

  /**
   * Resolves with the answer; null: it has died, or there is none after `patienceMs`, of which one
   * that is stopped inside a kick gets none. Rejects if it cannot do it.
   */
  ask<Name extends keyof Requests>(
    name: Name,
    argument: Requests[Name][0],
    patienceMs: number | null = null,
  ): Promise<Requests[Name][1] | null> {
    if (this.isDead) return Promise.resolve(null);
    if (patienceMs !== null && this.held !== null) {
      this.tell(name, argument);
      return Promise.resolve(null);
    }
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = patienceMs === null ? null : setTimeout(() => heard(null), patienceMs);
      const heard: Waiting = (answer) => {
        this.#waiting.delete(id);
        if (timer !== null) clearTimeout(timer);
        if (answer === null || answer.error === "") {
          resolve((answer?.value ?? null) as Requests[Name][1] | null);
        } else reject(new Error(answer.error));
      };
      this.#waiting.set(id, heard);
      this.#worker.postMessage({ id, name, argument });
    });
  }

  /** Asks without waiting for an answer. */
  tell<Name extends keyof Requests>(name: Name, argument: Requests[Name][0]): void {
    if (!this.isDead) this.#worker.postMessage({ id: 0, name, argument });
  }

  /** It is stopped inside a kick: what it has said before. null: it is not. */
  get held(): Held | null {
    return this.machine?.held ?? null;
  }

  /** The latest report; one that does not come within `patienceMs` leaves the one before. */
  async report(patienceMs: number): Promise<void> {
    const report = this.held?.report ?? (await this.ask("report", null, patienceMs));
    if (report !== null && !this.isDead) this.last = report;
  }

  /** Has its guest not returned for as many looks as a watchdog allows? */
  isStuck(): boolean {
    return !this.isDead && this.#stall.look();
  }

  /** Ends its thread wherever it is. */
  kill(why: string): void {
    this.#die({ kind: "killed", why });
  }

  #die(death: Death): void {
    if (this.isDead) return;
    this.isDead = true;
    this.isOpen = false;
    this.machine?.end();
    for (const heard of [...this.#waiting.values()]) heard(null);
    if (death.kind !== "exit") void this.#worker.terminate();
    this.#end(death);
  }

  #heard(message: Message): void {
    if (message.kind === "log") {
      this.#log(message.level, message.component, message.message);
      return;
    }
    if (message.kind === "console") {
      void this.#print(message.text);
      return;
    }
    if (message.kind === "lines") {
      this.#events.lines(message);
      this.tell("logged", message.bytes.length);
      return;
    }
    if (this.isDead) return;
    switch (message.kind) {
      case "answer":
        this.#waiting.get(message.id)?.(message);
        break;
      case "listens":
        this.#events.listens(this);
        break;
      case "open":
        this.isOpen = true;
        this.#events.opened(this, message.bound);
        break;
      case "ended":
        this.last = message.report;
        this.#die({ kind: "exit", exit: message.exit });
        break;
      case "failed":
        this.#die(message);
        break;
    }
  }

  async #print(text: string): Promise<void> {
    await this.#events.print(text);
    this.tell("printed", text.length);
  }
}

/** Counters of one that is gone. */
export const countsOf = ({ last }: Replica) => last?.counts ?? NO_COUNTS;
