// A guest that serves clients: ports that are bound before it boots, the machine they lead to, and
// the order in which both begin and end.

import type { VsockOptions } from "../../devices/vsock/options.ts";
import type { Log } from "../../log.ts";
import { VsockDevice } from "../../node/devices.ts";
import { Machine, type MachineOptions } from "../../node/machine.ts";
import type { SiteSource } from "../../node/site.ts";
import type { Snapshot } from "../../node/snapshot.ts";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import type { Watchdog } from "../../node/watchdog.ts";
import { addressText, type ListenAddress, type SocketAddress } from "../../ports/sockets.ts";
import { ProxiedSockets } from "../../service/proxied-sockets.ts";
import { RequestCounters } from "../../service/request-counters.ts";
import { StandingPorts } from "../../service/standing-ports.ts";
import { TurnMeter } from "../../service/turn-meter.ts";
import type { Command } from "../commands.ts";
import { mayReload, type OptionName } from "../config/options.ts";
import { openDoors } from "../doors.ts";
import type { readImage } from "../image.ts";
import { STDOUT } from "../output.ts";
import { available, boot, openDevices, presenceOf, urlOf, usable } from "../parts.ts";
import { openSite, reportWarnings } from "../site.ts";
import { stderr, stdout } from "../streams.ts";
import { CliError } from "../usage.ts";
import { AccessLog } from "./access-log.ts";
import { addressSet, hasAddress, plainAddress } from "./client-addresses.ts";
import type { Drainable } from "./drain.ts";
import type { Inherited } from "./inherited.ts";
import { type Notify, tellReady } from "./notify.ts";
import { addTotals, type Totals, totalsOf } from "./totals.ts";

/** Clients that wait in the kernel when the last one is let in. */
const BACKLOG_MS = 100;
/** A client that has sent nothing for that long is not about to. */
const QUIET_MS = 1000;

export interface ServiceParts {
  readonly image: ReturnType<typeof readImage>;
  /** null: machines boot. */
  readonly snapshot: Snapshot | null;
  readonly capture: VsockOptions["capture"];
  readonly trace: MachineOptions["trace"];
  readonly watchdog: Watchdog | null;
  /** Listening sockets that were handed over, in place of those that would be bound. */
  readonly inherited: readonly Inherited[];
  readonly notify: Notify;
  readonly log: Log;
}

/** A port of the guest, and where its clients come from. */
export interface Bound {
  readonly address: SocketAddress;
  readonly guestPort: number;
}

export class Service implements Drainable {
  #command: Command;
  readonly #parts: ServiceParts;
  readonly #sockets: NodeSockets;
  readonly ports: StandingPorts;
  readonly #bound: Bound[] = [];
  #vsock: VsockDevice | null = null;
  #machine: Machine | null = null;
  #site: SiteSource | null = null;
  readonly counters = new RequestCounters();
  /** null: nobody wants to know about requests. */
  readonly accessLog: AccessLog | null;
  /** null: nobody wants to know. */
  readonly turns: TurnMeter | null;
  /** Machines that were replaced. */
  restarts = 0;
  #past: Totals | null = null; // of these machines
  #isOpen = false; // clients have been let in
  #isRetired = false;
  #isEnding = false;

  /** Opens the access log. Throws CliError if that is not possible. */
  constructor(command: Command, parts: ServiceParts) {
    this.#command = command;
    this.#parts = parts;
    this.#sockets = new NodeSockets({ kind: command.sockets });
    const { accessLog, admin, isProxied } = command;
    this.ports = new StandingPorts(isProxied ? this.#proxied() : this.#sockets);
    const isLogged = accessLog.path !== null || admin !== null;
    this.accessLog = isLogged ? new AccessLog(accessLog, this.counters, parts.log) : null;
    this.turns = admin === null ? null : new TurnMeter();
  }

  get vsock(): VsockDevice | null {
    return this.#vsock;
  }

  get machine(): Machine | null {
    return this.#machine;
  }

  /** Have clients been let in? */
  get isOpen(): boolean {
    return this.#isOpen;
  }

  get isRetired(): boolean {
    return this.#isRetired;
  }

  /** Will there be no other machine? */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** The machine has ended, and another one will follow: its clients wait. */
  lost(): void {
    this.ports.set("waiting");
    this.#isOpen = false;
    this.#past = this.totals();
    this.#vsock = null;
    this.#machine = null;
    this.restarts++;
  }

  /** The kind of sockets that clients have. */
  get sockets(): string {
    return this.#sockets.kind ?? "unknown";
  }

  /** Counters of all machines that there were. */
  readonly totals = (): Totals => {
    const present = totalsOf(this.#vsock, this.#machine);
    return this.#past === null ? present : addTotals(this.#past, present);
  };

  get isReady(): boolean {
    return this.#isOpen && !this.#isRetired && this.#machine?.ended === false;
  }

  /** Binds the published ports, where clients wait from now on. Rejects with CliError. */
  async bind(): Promise<void> {
    const wanted = this.#command.publish;
    const { inherited } = this.#parts;
    for (const [i, { fd }] of inherited.entries()) {
      const guestPort = (wanted[i] ?? wanted[0])?.guestPort;
      if (guestPort === undefined) throw new CliError("publish: no port for inherited sockets");
      await this.#bindTo({ fd }, guestPort);
    }
    if (inherited.length === 0) {
      for (const { guestPort, ...address } of wanted) await this.#bindTo(address, guestPort);
    }
    if (this.#command.site !== null && process.getuid?.() === 0) {
      this.#parts.log("warn", "torito", "running as root: the site is read with root's rights");
    }
  }

  #proxied(): ProxiedSockets {
    const trusted = addressSet(this.#command.accessLog.proxies);
    return new ProxiedSockets(this.#sockets, {
      isTrusted: (address) => hasAddress(trusted, plainAddress(address)),
      after: (ms, callback) => {
        const timer = setTimeout(callback, ms);
        return () => clearTimeout(timer);
      },
    });
  }

  async #bindTo(address: ListenAddress, guestPort: number): Promise<void> {
    const bound = await available(this.ports.bind(address));
    this.#parts.log("debug", "torito", `listening on ${addressText(bound)}`);
    this.#bound.push({ address: bound, guestPort });
  }

  /**
   * Boots a machine. Clients are let in once its guest listens, which resolves nothing: the machine
   * may end before. Rejects with CliError.
   */
  async start(): Promise<Machine> {
    const { cid, connect, seqpacket, memoryBytes, parameters, vsockPath } = this.#command;
    const { image, snapshot, capture, trace, watchdog, log } = this.#parts;
    const limits = { connections: this.#command.connections };
    const sockets = this.ports;
    const vsock = new VsockDevice({ cid, connect, seqpacket, capture, sockets, limits });
    const others = await openDevices(this.#command);
    const site = openSite(this.#command, log);
    this.#site = site;
    const devices = [vsock, ...others, ...(site === null ? [] : [site.device])];
    const console = (this.#command.capture?.path === STDOUT ? stderr : stdout).write;
    const options = {
      ...{ ...image, devices, console, log, ...presenceOf(watchdog), trace },
      turnMeter: this.turns ?? undefined,
      accessLog: this.accessLog?.sink((one) => vsock.peerAddress(one.hostPort, one.guestPort)),
    };
    const machine = await usable(
      snapshot === null
        ? Machine.create({ ...options, memoryBytes, parameters })
        : Machine.restore(snapshot, options),
    );
    this.#vsock = vsock;
    this.#machine = machine;
    machine.control.draining = this.#isRetired;
    for (const { address, guestPort } of this.#bound) await vsock.publishAt(address, guestPort);
    if (vsockPath !== null) await available(vsock.publishPath(vsockPath));
    if (snapshot === null) boot(machine);
    if (machine.ended) log("debug", "torito", "the guest has ended while it booted");
    else void this.#open(machine, vsock);
    return machine;
  }

  retire(isFinal = true): void {
    this.#isRetired = true;
    this.#isEnding ||= isFinal;
    this.#parts.notify(...(isFinal ? ["STOPPING=1"] : []), "STATUS=draining");
    if (this.#machine !== null) this.#machine.control.draining = true;
    this.#vsock?.watchQuiet();
  }

  /** Takes retire() back. */
  unretire(): void {
    this.#isRetired = false;
    this.#parts.notify("STATUS=serving");
    if (this.#machine !== null) this.#machine.control.draining = false;
  }

  async drain(): Promise<void> {
    await this.ports.finish(BACKLOG_MS);
    await this.ports.emptied();
    await this.#vsock?.drain({ quietMs: QUIET_MS });
  }

  reset(): number {
    const waiting = this.ports.waiting;
    this.ports.keep([]);
    return waiting + (this.#vsock?.resetClients() ?? 0);
  }

  /** Settings that hold now; others take effect with the next start. */
  get command(): Command {
    return this.#command;
  }

  /**
   * Does a setting take effect without a restart? A guest that was not asked to note its requests
   * will not begin to.
   */
  mayReload(name: OptionName): boolean {
    return mayReload(name) && !(name === "access-log" && this.accessLog === null);
  }

  /**
   * Takes the settings of `next` that can be changed without a restart, and reads rules and opens
   * log files again: all of it, or nothing, and then it throws an Error that says why.
   */
  reload(next: Command): void {
    const opened = this.accessLog?.change(next.accessLog);
    try {
      if (next.site !== null) this.#site?.reload(next.site);
    } catch (error) {
      opened?.cancel();
      throw error;
    }
    opened?.commit();
    this.#machine?.control.settingsChanged();
    if (this.#site !== null) reportWarnings(this.#site, this.#parts.log);
    const { site, lameDuckMs, graceMs, accessLog } = next;
    const settings = next.settings.map((one) =>
      this.mayReload(one.name)
        ? one
        : (this.#command.settings.find(({ name }) => name === one.name) ?? one),
    );
    this.#command = { ...this.#command, site, lameDuckMs, graceMs, accessLog, settings };
  }

  /** The end: of the ports, and of the machine. Resolves when all log lines are written. */
  async dispose(): Promise<void> {
    this.ports.keep([]);
    this.#machine?.dispose();
    await this.accessLog?.flushed();
  }

  /** Lets clients in, and says so. */
  async #open(machine: Machine, vsock: VsockDevice): Promise<void> {
    const { log } = this.#parts;
    const isCurrent = () => machine === this.#machine;
    const late = (port: number) =>
      log("warn", "torito", `nothing listens on port ${port} of the guest: it refuses clients`);
    try {
      await openDoors(this.ports, vsock, this.#bound, isCurrent, late);
    } catch (error) {
      // The machine has ended, which is reported elsewhere, or it drains.
      log("debug", "torito", `not ready: ${(error as Error).message}`);
      return;
    }
    this.#isOpen = true;
    const urls = this.#bound.map(({ address, guestPort }) =>
      "path" in address ? `  ${address.path}` : `  ${urlOf({ ...address, guestPort })}`,
    );
    this.#parts.notify("READY=1", `STATUS=serving${urls.join("")}`);
    const { readyFd } = this.#command;
    if (readyFd !== null && this.restarts === 0) tellReady(readyFd, log);
    log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
  }
}
