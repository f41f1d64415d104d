// The machine in a dedicated Worker: boots it when the page says so, hands it its clients, and lets
// the page watch it and stop it.
import { ReadOnlyFsDevice } from "../devices/fs/read-only.ts";
import { SocketDevice } from "../devices/vsock/device.ts";
import { MemoryDirectory } from "../files/memory-directory.ts";
import type { Machine } from "../machine.ts";
import { PausableClock } from "../pausable-clock.ts";
import { browserClock } from "./clock.ts";
import type { Inspection } from "./inspection.ts";
import { createMachine } from "./platform.ts";
import { PortSockets } from "./port-sockets.ts";
import { Switchboards } from "./switchboard.ts";
import { unpackTar } from "./untar.ts";
import {
  type Command,
  type Ended,
  endText,
  type FromWorker,
  type Shared,
  type ToWorker,
  type WorkerMachineOptions,
} from "./worker-protocol.ts";

const MEMORY_BYTES = 16 * 1024 * 1024;
const HTTP_PORT = 80;

/** The Worker, as the machine in it sees it. */
export interface WorkerScope {
  onmessage: ((event: MessageEvent) => void) | null;
  postMessage(message: unknown, transfer: Transferable[]): void;
}

interface Running {
  readonly machine: Machine;
  readonly vsock: SocketDevice;
  readonly site: ReadOnlyFsDevice;
  readonly clock: PausableClock;
  readonly gate: Shared | null;
}

/** Serves the page that has made the Worker; one machine a Worker. */
export class MachineHost {
  readonly #scope: WorkerScope;
  readonly #sockets = new PortSockets((port, client) => {
    this.#post({ reached: port }, [client]);
    return true;
  });
  readonly #boards = new Switchboards((port, client) => this.#sockets.accept(port, client));
  #running: Running | null = null;
  #inspection: Promise<Inspection> | null = null; // null: nobody has looked so far
  #isBooting = false;

  constructor(scope: WorkerScope) {
    this.#scope = scope;
    scope.onmessage = ({ data, ports }) => this.#received(data, ports);
  }

  #received(message: ToWorker, [port]: readonly MessagePort[]): void {
    if ("command" in message) {
      this.#answer(message.id, message.command);
    } else if (port !== undefined) {
      if (message.attach === "switchboard") this.#boards.add(port);
      else void this.#inspect().then((inspection) => inspection.watch(port));
    }
  }

  async #answer(id: number, command: Command): Promise<void> {
    try {
      this.#post({ id, result: await this.#run(command) });
    } catch (error) {
      this.#post({ id, error: (error as Error).message });
    }
  }

  async #run(command: Command): Promise<unknown> {
    if (command.name === "boot") return this.#boot(command.options, command.gate);
    const { machine, vsock } = this.#expect();
    switch (command.name) {
      case "listening":
        return vsock.probe(command.port);
      case "dispose":
        return machine.dispose();
      default:
        return (await this.#inspect()).run(command);
    }
  }

  /** Loads the inspector, once. */
  #inspect(): Promise<Inspection> {
    const { gate, ...running } = this.#expect();
    this.#inspection ??= import("./inspection.ts").then(
      ({ Inspection }) => new Inspection(running, gate, (isHeld) => this.#boards.hold(isHeld)),
    );
    return this.#inspection;
  }

  #expect(): Running {
    if (this.#running === null) throw new Error("the machine has not booted");
    return this.#running;
  }

  async #boot(options: WorkerMachineOptions, gate: Shared | null): Promise<void> {
    if (this.#isBooting) throw new Error("a Worker has one machine");
    this.#isBooting = true;
    const { ports = [HTTP_PORT], hostPorts = [], tag = "site" } = options;
    const clock = new PausableClock(browserClock);
    const connect = new Map(hostPorts.map((port) => [port, { host: "page", port }]));
    const vsock = new SocketDevice({ sockets: this.#sockets, connect });
    const files =
      options.files === undefined
        ? new MemoryDirectory(browserClock)
        : unpackTar(new Uint8Array(options.files), (times) => new MemoryDirectory(times));
    const site = new ReadOnlyFsDevice({ directory: "/", tag, files });
    const machine = await createMachine({
      image: new Uint8Array(options.image),
      ...(options.sourceMap !== undefined && { sourceMap: options.sourceMap }),
      devices: [vsock, site],
      parameters: options.parameters ?? `root=${tag}`,
      memoryBytes: options.memoryBytes ?? MEMORY_BYTES,
      clock,
      console: (text) => this.#post({ console: text }),
      log: (level, subject, message) => {
        if (level !== "debug") this.#post({ console: `${subject}: ${message}\n` });
      },
    });
    this.#running = { machine, vsock, site, clock, gate };
    machine.exited.then(
      (exit) => this.#ended(exit),
      (error: Error) => this.#ended({ kind: "fault", message: error.message }),
    );
    machine.boot();
    if (machine.ended) return;
    await Promise.all(ports.map((port) => vsock.publish({ port, guestPort: port })));
  }

  #ended(ended: Ended): void {
    this.#boards.end(endText(ended));
    this.#post({ ended });
  }

  #post(message: FromWorker, transfer: Transferable[] = []): void {
    this.#scope.postMessage(message, transfer);
  }
}
