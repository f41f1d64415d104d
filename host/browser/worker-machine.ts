// A machine in a Worker, as the page sees that boots it.

import type { GuestRequestInit } from "../http/client.ts";
import type { Breakpoint } from "../inspect/breakpoints.ts";
import type { HeapMap } from "../inspect/heap.ts";
import type { MachineView, StepBy } from "../inspect/inspector.ts";
import { type GateOrder, KickGate } from "../inspect/kick-gate.ts";
import type { TraceEvent } from "../trace/event.ts";
import { browserClock } from "./clock.ts";
import { Dialler } from "./dialler.ts";
import {
  type Command,
  type Ended,
  type FromWorker,
  type ToWorker,
  WATCHED,
  type WatchMessage,
  type WorkerMachineOptions,
} from "./worker-protocol.ts";

/** Services of a page for its machine. */
export interface PageOptions {
  /** Takes the guest's console output, and what the host logs. */
  readonly console?: (text: string) => void;
  /** The guest connects to one of `hostPorts`: the other end of the connection is the page's. */
  readonly reached?: (port: number, client: MessagePort) => void;
}

/** Sees the machine change. */
export interface MachineWatcher {
  /** The machine as it is now; at most some ten times a second. */
  view(view: MachineView): void;
  /** Events since the last call; `lost` more are missing. */
  events(events: readonly TraceEvent[], lost: number): void;
  /** Nothing comes from the machine before the first call, with true. */
  connected(isConnected: boolean): void;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: Error): void;
}

export class WorkerMachine {
  /** Resolves when the machine has ended, and why. */
  readonly exited: Promise<Ended>;
  readonly #worker: Worker;
  readonly #options: PageOptions;
  readonly #pending = new Map<number, Pending>();
  readonly #dialler: Dialler;
  /** null: the page is not cross-origin isolated. */
  readonly #gate = globalThis.crossOriginIsolated ? new KickGate() : null;
  #ended: (ended: Ended) => void = () => {};
  #nextId = 1;
  #failure: Error | null = null;

  /** Owns the Worker, which runs torito/browser/worker. Use boot(). */
  private constructor(worker: Worker, options: PageOptions) {
    this.#worker = worker;
    this.#options = options;
    this.exited = new Promise((resolve) => {
      this.#ended = resolve;
    });
    worker.onmessage = ({ data, ports }) => this.#received(data, ports);
    worker.onerror = ({ message }) => this.#fail(new Error(`the Worker failed: ${message}`));
    this.#dialler = new Dialler(this.switchboard(), browserClock);
  }

  /**
   * Boots a machine in the Worker, which it owns from now on. Resolves when the guest has halted
   * for the first time, or has ended. Rejects with an Error that says what does not fit, and
   * terminates the Worker.
   */
  static async boot(
    worker: Worker,
    options: WorkerMachineOptions,
    page: PageOptions = {},
  ): Promise<WorkerMachine> {
    const machine = new WorkerMachine(worker, page);
    try {
      await machine.#command({ name: "boot", options, gate: machine.#gate?.shared ?? null });
    } catch (error) {
      machine.terminate();
      throw error;
    }
    return machine;
  }

  /** Resolves with true as soon as the guest listens on the port; with false if it has ended. */
  async listening(port = 80): Promise<boolean> {
    const waiting = this.#command({ name: "listening", port }).then(
      () => true,
      () => false,
    );
    return Promise.race([waiting, this.exited.then(() => false)]);
  }

  /** As Machine.fetch(). */
  fetch(input: Request | string | URL, init?: GuestRequestInit): Promise<Response> {
    return this.#dialler.http.fetch(input, init);
  }

  /**
   * A connection to a port of the guest; PortSocket speaks over it. Throws an Error if the Worker
   * was terminated.
   */
  connect(port: number): MessagePort {
    return this.#dialler.connect(port);
  }

  /** A port over which a Service Worker, or another page, makes connections to the guest. */
  switchboard(): MessagePort {
    return this.#attach("switchboard");
  }

  /** Ends the machine at once, whatever it does. Commands that are under way reject. */
  terminate(): void {
    this.#worker.terminate();
    this.#fail(new Error("the Worker was terminated"));
    this.#dialler.close();
    this.#ended({ kind: "disposed" });
  }

  // ---- the inspector's page takes these

  /** Calls the watcher until the result is called. */
  watch(watcher: MachineWatcher): () => void {
    const port = this.#attach("watcher");
    port.onmessage = ({ data }) => {
      const { view, events, lost } = data as WatchMessage;
      watcher.view(view);
      if (events.length > 0 || lost > 0) watcher.events(events, lost);
      port.postMessage(WATCHED);
    };
    watcher.connected(true);
    return () => {
      port.postMessage("end");
      port.onmessage = null;
    };
  }

  /** Stops the machine between two turns; no deadline runs out. Rejects if it has ended. */
  async pause(): Promise<void> {
    if (this.#gives("turn")) return;
    await this.#command({ name: "pause" });
  }

  async resume(): Promise<void> {
    if (this.#gives("run")) return;
    await this.#command({ name: "resume" });
  }

  /**
   * One turn, one thread of it, or up to the next kick; a machine that is stopped inside one ends
   * its turn first. Rejects if the machine is not paused, has nothing to do, or never stops inside
   * turns, for which the page must be cross-origin isolated.
   */
  async step(by: StepBy): Promise<void> {
    if (this.#gives(by === "kick" ? "kick" : "turn")) return;
    await this.#command({ name: "step", by });
  }

  /** Stops the machine after the turn in which one of these has happened. */
  async breakAt(breakpoints: readonly Breakpoint[]): Promise<void> {
    await this.#command({ name: "break", breakpoints });
  }

  /** The blocks of the heap; null: the image does not say. */
  async heapMap(): Promise<HeapMap | null> {
    return (await this.#command({ name: "heap" })) as HeapMap | null;
  }

  // ---- inside

  /** A machine that is stopped inside a kick hears nothing but this. False: it is not. */
  #gives(order: GateOrder): boolean {
    return this.#gate?.give(order) === true;
  }

  #command(command: Command): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== null) throw this.#failure;
      const id = this.#nextId++;
      this.#pending.set(id, { resolve, reject });
      this.#post({ id, command });
    });
  }

  #attach(attach: "switchboard" | "watcher"): MessagePort {
    const { port1, port2 } = new MessageChannel();
    this.#post({ attach }, [port1]);
    return port2;
  }

  #received(message: FromWorker, [port]: readonly MessagePort[]): void {
    if ("id" in message) {
      const pending = this.#pending.get(message.id);
      this.#pending.delete(message.id);
      if ("error" in message) pending?.reject(new Error(message.error));
      else pending?.resolve(message.result);
    } else if ("console" in message) {
      this.#options.console?.(message.console);
    } else if ("ended" in message) {
      this.#ended(message.ended);
    } else if (port !== undefined) {
      if (this.#options.reached !== undefined) this.#options.reached(message.reached, port);
      else port.postMessage("reset");
    }
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    for (const { reject } of this.#pending.values()) reject(error);
    this.#pending.clear();
  }

  #post(message: ToWorker, transfer: Transferable[] = []): void {
    this.#worker.postMessage(message, transfer);
  }
}
