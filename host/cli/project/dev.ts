// `torito dev`: builds, boots, and does so again after every change. The compiler works on a thread
// of its own, and the published ports stay open, so that clients notice nothing but a pause.
import { join } from "node:path";
import { createLog, type Log } from "../../log.ts";
import { VsockDevice } from "../../node/devices.ts";
import { Machine } from "../../node/machine.ts";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import type { Watchdog } from "../../node/watchdog.ts";
import type { TcpAddress } from "../../ports/sockets.ts";
import { StandingPorts } from "../../service/standing-ports.ts";
import type { DevCommand, Publish } from "../arguments.ts";
import { openDoors } from "../doors.ts";
import { GuestPorts } from "../guest-ports.ts";
import { openCard, withFamily } from "../net/card.ts";
import {
  available,
  boot,
  exitCode,
  openDevices,
  presenceOf,
  urlOf,
  usable,
  watches,
} from "../parts.ts";
import { stderr, stdout, tellFailures } from "../streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_SOFTWARE, EXIT_UNAVAILABLE } from "../usage.ts";
import { isColored } from "./build.ts";
import type { Project } from "./project.ts";
import { countErrors, reportDiagnostics } from "./report.ts";
import { type Built, type WatchEvent, type Watched, Watcher } from "./watcher.ts";

/** The project and the options as they are now; package.json may change. */
export type Reload = () => { readonly project: Project; readonly command: DevCommand };

/** Runs until SIGINT or SIGTERM. Rejects with CliError if a port is taken. */
export async function dev(reload: Reload, watchdog: Watchdog | null): Promise<End> {
  const { project, command } = reload();
  const log = createLog({ format: command.logFormat, level: command.logLevel, write: stderr.line });
  tellFailures((message) => log("error", "torito", message));
  const session = new Session(reload, watchdog, log);
  await watches(watchdog, log);
  await session.publish(command);
  const options = {
    folder: project.folder,
    ...watched(project, command),
    tests: [],
    coverage: false,
    colors: isColored(command.logFormat),
  };
  const end = await new Promise<End>((resolve) => {
    const watcher = new Watcher(options, (event) => {
      if (event.kind === "fault") {
        log("error", "torito", event.message);
        resolve(asLongAsItTakes(event.missing ? EXIT_UNAVAILABLE : EXIT_SOFTWARE));
      }
      void session.take(event).then((now) => {
        if (now !== null) watcher.watch(now);
      });
    });
    for (const signal of ["SIGINT", "SIGTERM"]) {
      process.once(signal, () => resolve(asLongAsItTakes(0)));
    }
  });
  session.close();
  return end;
}

/** The main file, and files that are not sources. */
function watched({ folder, entry }: Project, { devices }: DevCommand): Watched {
  return { entry, settings: [join(folder, "package.json"), ...devices] };
}

class Session {
  readonly #reload: Reload;
  readonly #watchdog: Watchdog | null;
  readonly #log: Log;
  readonly #ports = new StandingPorts(new NodeSockets());
  #command: DevCommand;
  #machine: Machine | null = null;
  #last: Built | null = null;
  /** Wanted and bound: port 0 is bound once. */
  #published = new Map<string, Publish>();
  /** Events are handled one after the other. */
  #queue: Promise<unknown> = Promise.resolve();

  constructor(reload: Reload, watchdog: Watchdog | null, log: Log) {
    this.#reload = reload;
    this.#watchdog = watchdog;
    this.#log = log;
    this.#command = reload().command;
  }

  /** Resolves with what to watch if that may have changed, otherwise null. Never rejects. */
  take(event: WatchEvent): Promise<Watched | null> {
    const handled = this.#queue
      .then(() => this.#handle(event))
      .catch((error: unknown) => {
        const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
        this.#log("error", "torito", error instanceof CliError ? error.message : fault);
        return null;
      });
    this.#queue = handled;
    return handled;
  }

  /** Binds the ports of a command, and closes those that it does not publish. */
  async publish(command: DevCommand): Promise<void> {
    const published = new Map<string, Publish>();
    for (const wanted of command.publish) {
      const key = `${wanted.host}:${wanted.port}`;
      const before = this.#published.get(key);
      const { host, port } = before ?? ((await available(this.#ports.bind(wanted))) as TcpAddress);
      published.set(key, { ...wanted, host, port });
    }
    this.#published = published;
    this.#ports.keep([...published.values()]);
  }

  close(): void {
    this.#machine?.dispose();
    this.#ports.keep([]);
  }

  async #handle(event: WatchEvent): Promise<Watched | null> {
    if (event.kind === "building" && this.#machine === null) this.#ports.set("waiting");
    if (event.kind === "built") {
      reportDiagnostics(event.warnings, this.#command.logFormat);
      await this.#replace(event);
    }
    if (event.kind === "failed") {
      reportDiagnostics(event.diagnostics, this.#command.logFormat);
      const serving = this.#machine !== null;
      const what = serving ? "serving the last good build" : "waiting for a change";
      this.#log("error", "torito", `${countErrors(event.diagnostics)}; ${what}`);
      if (!serving) this.#ports.set("closed");
    }
    if (event.kind !== "settings") return null;
    const { project, command } = this.#reload();
    await this.publish(command);
    this.#command = command;
    this.#log("info", "torito", "settings or devices have changed");
    if (this.#last !== null) await this.#replace(this.#last);
    return watched(project, command);
  }

  /** The image takes the place of the present one, whose connections end. */
  async #replace(built: Built): Promise<void> {
    this.#last = built;
    this.#ports.set("waiting");
    this.#machine?.dispose();
    this.#machine = null;
    try {
      await this.#start(built);
    } catch (error) {
      (this.#machine as Machine | null)?.dispose();
      this.#machine = null;
      this.#ports.set("closed");
      throw error;
    }
  }

  async #start({ wasm, map, ms }: Built): Promise<void> {
    const { cid, connect, seqpacket, memoryBytes, net, publish } = this.#command;
    const card = net === null ? null : await openCard(net, this.#ports, this.#log);
    const vsock = new VsockDevice({ cid, connect, seqpacket, sockets: this.#ports });
    const machine = await usable(
      Machine.create({
        image: wasm,
        sourceMap: map,
        memoryBytes,
        parameters: withFamily(this.#command.parameters, publish),
        devices: [
          vsock,
          ...(await openDevices(this.#command)),
          ...(card === null ? [] : [card.device]),
        ],
        console: stdout.write,
        log: this.#log,
        ...presenceOf(this.#watchdog),
      }),
    );
    machine.exited.then(
      (exit) => {
        if (exit.kind === "disposed") return;
        const code = exitCode(exit, this.#log);
        if (machine !== this.#machine) return;
        this.#machine = null;
        this.#ports.set("closed");
        const how = exit.kind === "panic" ? "" : `the guest has ended with exit code ${code}; `;
        this.#log("info", "torito", `${how}waiting for a change`);
      },
      (error: Error) => this.#log("error", "torito", `a fault of the host: ${error.stack}`),
    );
    this.#machine = machine;
    const guest = new GuestPorts(vsock, card?.user ?? null);
    for (const one of this.#published.values()) await guest.publishAt(one, one);
    boot(machine);
    this.#announce(machine, guest, ms);
  }

  #announce(machine: Machine, guest: GuestPorts, ms: number): void {
    const bound = [...this.#published.values()];
    const isCurrent = () => machine === this.#machine;
    const late = (port: number) =>
      this.#log("warn", "torito", `nothing listens on port ${port} of the guest`);
    const doors = bound.map((one) => ({ ...one, address: one }));
    openDoors(this.#ports, guest, doors, isCurrent, late).then(
      () => {
        const urls = bound.map((one) => `  ${urlOf(one)}`).join("");
        this.#log("info", "torito", `ready${urls}  built in ${ms} ms`);
      },
      // The machine has ended, which is reported elsewhere.
      (error: Error) => this.#log("debug", "torito", `not ready: ${error.message}`),
    );
  }
}
