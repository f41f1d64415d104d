// The machine of a replica, for the inspector's pages. What they show is what the replica has sent
// last; one that is stopped inside a kick is never waited for, since nobody there would answer.
import { setTimeout } from "node:timers";
import { MessageChannel, type MessagePort } from "node:worker_threads";
import type { Breakpoint } from "../../inspect/breakpoints.ts";
import { type InspectionCommand, orderOf } from "../../inspect/commands.ts";
import type { Update } from "../../inspect/feed.ts";
import type { HeapMap } from "../../inspect/heap.ts";
import type { MachineView, RunState } from "../../inspect/inspector.ts";
import { KickGate } from "../../inspect/kick-gate.ts";
import { RecentEvents } from "../../inspect/recent-events.ts";
import type { TraceEvent } from "../../trace/event.ts";
import { type InspectedMachine, type TraceFile, Unavailable } from "../service/inspected.ts";
import {
  type Asked,
  END,
  type FromReplica,
  type Held,
  type InspectionData,
  type ToReplica,
} from "./inspection-messages.ts";

const PATIENCE_MS = 1000;
const SILENT = "the replica does not answer";

const refuse = (why = SILENT): never => {
  throw new Unavailable(why);
};

interface Watcher {
  readonly watcher: (event: TraceEvent) => void;
  readonly missed: (events: number) => void;
}

/** Someone waits for an answer; null: there is none. */
type Waiting = (answer: { readonly value: unknown } | { readonly error: string } | null) => void;

export class ReplicaMachine implements InspectedMachine {
  /** For its thread, with the port to be transferred. */
  readonly data: InspectionData;
  readonly #port: MessagePort;
  readonly #gate = new KickGate();
  readonly #waiting = new Map<number, Waiting>();
  readonly #watchers = new Set<Watcher>();
  readonly #recent = new RecentEvents(); // while somebody watches
  #shown: MachineView | null = null; // the same
  #breakpoints: readonly Breakpoint[];
  #held: Held | null = null;
  #nextId = 1;

  constructor(breakpoints: readonly Breakpoint[]) {
    const { port1, port2 } = new MessageChannel();
    this.#port = port1;
    this.#breakpoints = breakpoints;
    this.data = { gate: this.#gate.shared, port: port2, breakpoints };
    port1.on("message", (message: FromReplica) => this.#heard(message));
  }

  /** It is stopped inside a kick: what it has said before. null: it is not. */
  get held(): Held | null {
    return this.#held;
  }

  get breakpoints(): readonly Breakpoint[] {
    return this.#breakpoints;
  }

  /** It goes on, and is not stopped inside a kick any more. */
  release(): void {
    this.#gate.release();
    this.#held = null;
  }

  /** Its thread has ended. */
  end(): void {
    this.#port.close();
    this.#held = null;
    this.#shown = null;
    for (const heard of [...this.#waiting.values()]) heard(null);
  }

  // ---- it is watched

  view(): MachineView | null {
    return this.#stopped ?? this.#shown;
  }

  recent(): TraceEvent[] {
    return this.#recent.list();
  }

  watch(watcher: Watcher["watcher"], missed: Watcher["missed"]): () => void {
    const one = { watcher, missed };
    this.#watchers.add(one);
    if (this.#watchers.size === 1) this.#post({ watch: true });
    return () => {
      if (!this.#watchers.delete(one) || this.#watchers.size > 0) return;
      this.#post({ watch: false });
      this.#recent.clear();
      this.#shown = null;
    };
  }

  // ---- it is asked

  async look(): Promise<MachineView> {
    const view = this.#stopped ?? (await this.#ask({ name: "view" })) ?? this.#stopped;
    return (view as MachineView | null) ?? refuse();
  }

  async heapMap(): Promise<HeapMap | null> {
    const map = this.#held === null ? await this.#ask({ name: "heap" }) : undefined;
    if (map !== undefined) return map as HeapMap | null;
    return refuse(this.#held === null ? SILENT : "its thread waits in a kick, and maps no heap");
  }

  async command(command: InspectionCommand): Promise<RunState> {
    if (command.name === "break") return this.#breakAt(command);
    const order = orderOf(command);
    if (order !== null && this.#gate.give(order)) {
      this.#held = null;
      return order === "turn" ? "paused" : "running";
    }
    const state = (await this.#ask(command)) ?? this.#stopped?.state;
    return (state as RunState | undefined) ?? refuse();
  }

  /** A machine that is stopped in a kick takes them as soon as it goes on. */
  async #breakAt(command: InspectionCommand & { name: "break" }): Promise<RunState> {
    this.#breakpoints = command.breakpoints;
    this.#held &&= this.#withBreakpoints(this.#held);
    this.#post({ id: 0, asked: command });
    return (await this.look()).state;
  }

  trace(file: TraceFile, names: boolean): () => void {
    const { port1, port2 } = new MessageChannel();
    port1.on("message", (bytes: Uint8Array) => {
      file.write(bytes);
      port1.postMessage(bytes.length);
    });
    port1.on("close", () => file.ended());
    this.#port.postMessage({ trace: port2, names } satisfies ToReplica, [port2]);
    let isAsked = false;
    return () => {
      if (isAsked || this.#held !== null) port1.close();
      else port1.postMessage(END);
      isAsked = true;
    };
  }

  // ---- inside

  get #stopped(): MachineView | null {
    return this.#held?.view ?? null;
  }

  /** undefined: no answer. Rejects if it cannot do it. */
  #ask(asked: Asked): Promise<unknown> {
    const id = this.#nextId++;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => heard(null), PATIENCE_MS);
      const heard: Waiting = (answer) => {
        this.#waiting.delete(id);
        clearTimeout(timer);
        if (answer === null) resolve(undefined);
        else if ("error" in answer) reject(new Error(answer.error));
        else resolve(answer.value);
      };
      this.#waiting.set(id, heard);
      this.#post({ id, asked });
    });
  }

  #heard(message: FromReplica): void {
    if ("id" in message) this.#waiting.get(message.id)?.(message);
    else if ("update" in message) this.#take(message.update);
    else this.#hold(message.held);
  }

  #take({ view, events, lost }: Update): void {
    this.#post({ shown: true });
    if (this.#watchers.size === 0) return;
    this.#shown = view;
    for (const event of events) {
      this.#recent.add(event);
      for (const { watcher } of this.#watchers) watcher(event);
    }
    if (lost > 0) for (const { missed } of this.#watchers) missed(lost);
  }

  /** Whoever waits for an answer would wait as long as the machine is stopped. */
  #hold(held: Held | null): void {
    this.#held = held && this.#withBreakpoints(held);
    if (held === null) return;
    this.#post({ cancelled: [...this.#waiting.keys()] });
    for (const heard of [...this.#waiting.values()]) heard(null);
  }

  /** Those that were set since hold as soon as it goes on. */
  #withBreakpoints(held: Held): Held {
    return { ...held, view: { ...held.view, breakpoints: this.#breakpoints } };
  }

  #post(message: ToReplica): void {
    this.#port.postMessage(message);
  }
}
