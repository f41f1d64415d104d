// The inspector of a replica, in the replica's thread, which blocks while the machine is stopped
// inside a kick: it says before what it is to be asked, and hears meanwhile nothing but an order.
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { carryOut } from "../../inspect/commands.ts";
import { Feed, type Update } from "../../inspect/feed.ts";
import type { Inspector, InspectorOptions } from "../../inspect/inspector.ts";
import { KickGate } from "../../inspect/kick-gate.ts";
import { traceTo } from "../service/own-machine.ts";
import type { ServiceReport } from "../service/report.ts";
import { LISTED_MAX, type Listed } from "../service/served.ts";
import {
  type Asked,
  END,
  type FromReplica,
  type InspectionData,
  type ToReplica,
} from "./inspection-messages.ts";

/** A process that takes a trace more slowly gets the beginning of it. */
const UNDER_WAY_MAX = 16 * 1024 * 1024;

/** The service of the thread. */
interface Inspectable {
  readonly inspector: Inspector | null;
  report(): ServiceReport;
  connections(most: number): Listed;
}

export class ReplicaInspection {
  /** For the machine. */
  readonly kicks: Pick<InspectorOptions, "gate" | "held" | "breakpoints">;
  readonly #port: MessagePort;
  readonly #service: () => Inspectable;
  readonly #feed: Feed;
  readonly #cancelled = new Set<number>();
  readonly #traces = new Set<() => void>(); // what ends each of them
  #isTaken = true; // the last update

  /** `service` is called when the machine runs. */
  constructor({ gate, port, breakpoints }: InspectionData, service: () => Inspectable) {
    this.#port = port;
    this.#service = service;
    this.#feed = new Feed(() => service().inspector);
    this.kicks = {
      gate: new KickGate(gate),
      held: (isHeld) => (isHeld ? this.#stop() : this.#goOn()),
      breakpoints,
    };
    port.on("message", (message: ToReplica) => this.#heard(message));
  }

  /** The process, as the only one to whom the machine is shown: it shows it to the pages. */
  readonly #viewer = {
    isReady: () => this.#isTaken,
    show: (update: Update) => {
      this.#isTaken = false;
      this.#post({ update });
    },
  };

  #heard(message: ToReplica): void {
    if ("asked" in message) {
      this.#answer(message.id, message.asked);
    } else if ("watch" in message) {
      this.#isTaken = true;
      if (message.watch) this.#feed.add(this.#viewer);
      else this.#feed.remove(this.#viewer);
    } else if ("shown" in message) {
      this.#isTaken = true;
    } else if ("trace" in message) {
      this.#trace(message.trace, message.names);
    }
  }

  #answer(id: number, asked: Asked): void {
    if (this.#cancelled.delete(id)) return;
    try {
      this.#post({ id, value: this.#valueOf(asked) });
    } catch (error) {
      this.#post({ id, error: (error as Error).message });
    }
    this.#cancelled.delete(id); // a step may have stopped in a kick itself
  }

  #valueOf(asked: Asked): unknown {
    const { inspector } = this.#service();
    if (asked.name === "view") return inspector?.view();
    if (asked.name === "heap") return inspector?.heapMap();
    if (inspector === null) throw new Error("the machine is being made");
    carryOut(inspector, asked);
    return inspector.state;
  }

  /** The machine has ended. */
  endTraces(): void {
    for (const end of this.#traces) end();
  }

  /** The thread is about to block. */
  #stop(): void {
    const service = this.#service();
    const view = service.inspector?.view();
    if (view === undefined) return;
    const connections = service.connections(LISTED_MAX);
    this.#post({ held: { view, report: service.report(), connections } });
    this.#feed.showNow();
  }

  /** In the same kick: breakpoints that were set meanwhile hold, and all else waits for its end. */
  #goOn(): void {
    this.#post({ held: null });
    for (;;) {
      const message: ToReplica | undefined = receiveMessageOnPort(this.#port)?.message;
      if (message === undefined) return;
      if ("cancelled" in message) for (const id of message.cancelled) this.#cancelled.add(id);
      else if ("asked" in message && message.asked.name === "break") this.#heard(message);
      else queueMicrotask(() => this.#heard(message));
    }
  }

  #trace(port: MessagePort, names: boolean): void {
    const { inspector } = this.#service();
    if (inspector === null) {
      port.close();
      return;
    }
    let underWay = 0;
    const file = {
      write: (bytes: Uint8Array) => {
        if (underWay > UNDER_WAY_MAX) return end();
        underWay += bytes.length;
        port.postMessage(bytes.slice());
      },
      ended: () => port.close(),
    };
    const end = traceTo(inspector, file, names);
    this.#traces.add(end);
    port.on("close", () => {
      this.#traces.delete(end);
      end();
    });
    port.on("message", (message: number | typeof END) => {
      if (message === END) end();
      else underWay -= message;
    });
  }

  #post(message: FromReplica): void {
    this.#port.postMessage(message);
  }
}
