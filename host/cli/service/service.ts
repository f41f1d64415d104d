// A guest that serves clients: ports that are bound before it boots, the machine they lead to, and
// the order in which both begin and end.
import type { FrameTap } from "../../devices/net/tap.ts";
import type { VsockOptions } from "../../devices/vsock/options.ts";
import { Inspector, type InspectorOptions } from "../../inspect/inspector.ts";
import type { Log } from "../../log.ts";
import { systemClock } from "../../node/clock.ts";
import { VsockDevice } from "../../node/devices.ts";
import { Machine, type MachineOptions } from "../../node/machine.ts";
import type { SiteSource } from "../../node/site.ts";
import type { Snapshot } from "../../node/snapshot.ts";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import { PausableClock } from "../../pausable-clock.ts";
import { addressText, type ListenAddress, type SocketAddress } from "../../ports/sockets.ts";
import { RequestCounters } from "../../service/request-counters.ts";
import { StandingPorts } from "../../service/standing-ports.ts";
import { TurnMeter } from "../../service/turn-meter.ts";
import type { CompiledSite } from "../../site/compile.ts";
import type { Command } from "../commands.ts";
import type { OptionName } from "../config/options.ts";
import { openDoors, untilListening } from "../doors.ts";
import { clientOf, type GuestPort, GuestPorts } from "../guest-ports.ts";
import type { readImage } from "../image.ts";
import { type Card, openCard, withFamily } from "../net/card.ts";
import { available, boot, openDevices, usable } from "../parts.ts";
import { openSite, reportWarnings } from "../site.ts";
import { CliError } from "../usage.ts";
import { AccessLog } from "./access-log.ts";
import { proxied } from "./client-addresses.ts";
import { type Doors, fullestOf, gaugesOf } from "./gauges.ts";
import { type Check, checksOf, Health } from "./health.ts";
import type { Inherited } from "./inherited.ts";
import { listedOf } from "./listed.ts";
import type { OpenLog } from "./log-output.ts";
import { LoopLag } from "./loop-lag.ts";
import type { Notify } from "./notify.ts";
import { mayReloadWith, reloaded } from "./reload.ts";
import { type Counts, LAG_QUANTILES, type ServiceReport } from "./report.ts";
import type { Listed, Served } from "./served.ts";
import { addCounts, type Totals, totalsOf } from "./totals.ts";

/** Clients that wait in the kernel when the last one is let in. */
const BACKLOG_MS = 100;
/** A client that has sent nothing for that long is not about to. */
const QUIET_MS = 1000;

export interface ServiceParts {
  readonly image: ReturnType<typeof readImage>;
  /** null: machines boot. */
  readonly snapshot: Snapshot | null;
  readonly capture: VsockOptions["capture"];
  readonly netCapture: FrameTap | null;
  readonly trace: MachineOptions["trace"];
  /** For a watchdog. */
  readonly presence: MachineOptions["presence"];
  /** How the inspector stops the machine inside kicks; null: its thread may not block. */
  readonly kicks: Pick<InspectorOptions, "gate" | "held" | "breakpoints"> | null;
  readonly console: NonNullable<MachineOptions["console"]>;
  readonly openLog: OpenLog;
  /** Are requests noted, for the log or for metrics? */
  readonly areNoted: boolean;
  /** Listening sockets that were handed over, in place of those that would be bound. */
  readonly inherited: readonly Inherited[];
  /** Other replicas have the same ports; null: it has them alone. */
  readonly shared: Shared | null;
  readonly notify: Notify;
  /** Clients have been let in. */
  readonly opened: (bound: readonly Bound[]) => void;
  readonly log: Log;
}

/** The common property of replicas. */
export interface Shared {
  /** How many share the descriptors of the process. */
  readonly replicas: number;
  /** The settings of the site, which are the same for all. */
  readonly compiled: CompiledSite | null;
  /** Descriptors of the ports, as soon as the guest listens: others have the clients till then. */
  descriptors(): Promise<readonly Inherited[]>;
}

/** A port of the guest, and where its clients come from. */
export interface Bound extends GuestPort {
  readonly address: SocketAddress;
}

export class Service implements Served {
  #command: Command;
  readonly #parts: ServiceParts;
  readonly #sockets: NodeSockets;
  readonly #ports: StandingPorts;
  readonly #health = new Health(this);
  readonly #bound: Bound[] = [];
  #vsock: VsockDevice | null = null;
  #guest: GuestPorts | null = null; // with it
  #card: Card | null = null; // the same; null: it has none
  #machine: Machine | null = null;
  #site: SiteSource | null = null;
  #inspector: Inspector | null = null; // of the present machine, or of the last one
  readonly #counters = new RequestCounters();
  /** null: nobody wants to know about requests. */
  readonly #accessLog: AccessLog | null;
  /** null: nobody wants to know. */
  readonly #turns: TurnMeter | null;
  readonly #lag: LoopLag | null;
  #restarts = 0;
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
    this.#ports = new StandingPorts(
      isProxied ? proxied(this.#sockets, accessLog.proxies) : this.#sockets,
    );
    const { log, openLog, areNoted } = parts;
    this.#accessLog = areNoted ? new AccessLog(accessLog, this.#counters, log, openLog) : null;
    this.#turns = admin === null ? null : new TurnMeter();
    this.#lag = admin === null ? null : new LoopLag();
    this.#lag?.enable();
  }

  get vsock(): VsockDevice | null {
    return this.#vsock;
  }

  get guest(): GuestPorts | null {
    return this.#guest;
  }

  get inspector(): Inspector | null {
    return this.#machine && this.#inspector;
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
    this.#ports.set("waiting");
    this.#isOpen = false;
    this.#past = this.#totals();
    this.#vsock = this.#guest = this.#card = this.#machine = null;
    this.#restarts++;
  }

  /** Counters of all machines that there were. */
  #totals(): Totals {
    const present = totalsOf(this.#vsock, this.#machine, this.#card);
    return this.#past === null ? present : addCounts(this.#past, present);
  }

  get isReady(): boolean {
    return this.#isOpen && !this.#isRetired && this.#machine?.ended === false;
  }

  isLive(): Promise<boolean> {
    return this.#health.isLive();
  }

  /** Why the guest takes no clients, or "". */
  guestFault(): Promise<string> {
    return this.#health.guestFault();
  }

  checks(): Promise<readonly Check[]> {
    const connections = Promise.resolve(fullestOf(this.#doors));
    return checksOf(this.#command, this.#isRetired, this.guestFault(), connections);
  }

  get #doors(): Doors {
    const { connections } = this.#command;
    return { vsock: this.#vsock, card: this.#card, connections };
  }

  report(): ServiceReport {
    return {
      sockets: this.#sockets.kind ?? "unknown",
      counts: this.#counts(),
      gauges: gaugesOf(this.#doors, this.#machine, this.#ports.waiting),
      lags: LAG_QUANTILES.map((quantile) => this.#lag?.quantile(quantile) ?? Number.NaN),
      machines: { wanted: 1, ready: this.isReady ? 1 : 0 },
      isRetired: this.#isRetired,
    };
  }

  #counts(): Counts {
    const { answered, durations, longer, durationSum, bodyBytes, aborted, cut } = this.#counters;
    const { sum = 0, count = 0 } = this.#lag ?? {};
    const turns = this.#turns;
    return {
      totals: this.#totals(),
      requests: {
        answered,
        durations: { counts: durations, above: longer, sum: durationSum },
        ...{ bodyBytes, aborted, cut },
      },
      dropped: this.#accessLog?.dropped ?? 0,
      turnedAway: this.#ports.turnedAway,
      restarts: this.#restarts,
      turns: turns && { counts: turns.counts, above: turns.above, sum: turns.sum },
      lag: { sum, count },
    };
  }

  connections(most: number): Listed {
    return listedOf(this.#vsock, this.#card?.device ?? null, most);
  }

  async save(path: string): Promise<void> {
    if (this.#machine === null) throw new Error("there is no machine now");
    const snapshot = await this.#machine.snapshot();
    await snapshot.save(path);
  }

  /** Binds the published ports, where clients wait from now on. Rejects with CliError. */
  async bind(inherited: readonly Inherited[] = this.#parts.inherited): Promise<void> {
    const wanted = this.#command.publish;
    for (const [i, { fd, claim }] of inherited.entries()) {
      if (claim?.() === false) throw new Error("the port was taken back");
      const port = wanted[i] ?? wanted[0];
      if (port === undefined) throw new CliError("publish: no port for inherited sockets");
      await this.#bindTo({ fd }, port);
    }
    if (inherited.length > 0) return;
    for (const one of wanted) await this.#bindTo({ host: one.host, port: one.port }, one);
  }

  async #bindTo(address: ListenAddress, { guestPort, isNet }: GuestPort): Promise<void> {
    const bound = await available(this.#ports.bind(address));
    this.#parts.log("debug", "torito", `listening on ${addressText(bound)}`);
    this.#bound.push({ address: bound, guestPort, ...(isNet === true ? { isNet } : {}) });
  }

  /**
   * Boots a machine. Clients are let in once its guest listens, which resolves nothing: the machine
   * may end before. Rejects with CliError.
   */
  async start(): Promise<Machine> {
    const { cid, connect, seqpacket, memoryBytes, vsockPath, net } = this.#command;
    const { image, snapshot, capture, netCapture, trace, shared, console, presence, log } =
      this.#parts;
    const limits = { connections: this.#command.connections };
    const sockets = this.#ports;
    const vsock = new VsockDevice({ cid, connect, seqpacket, capture, sockets, limits });
    const others = await openDevices(this.#command, shared?.replicas);
    const site = openSite(
      this.#command,
      shared === null ? log : null,
      shared?.compiled ?? undefined,
    );
    this.#site = site;
    const card = net === null ? null : await openCard(net, sockets, log, netCapture);
    const devices = [vsock, ...others, ...[site, card].flatMap((one) => one?.device ?? [])];
    const parameters = withFamily(this.#command.parameters, this.#command.publish);
    const options = {
      ...{ ...image, devices, console, log, trace },
      ...(presence === undefined ? {} : { presence }),
      turnMeter: this.#turns ?? undefined,
      accessLog: this.#accessLog?.sink((one) => clientOf(one, vsock, card?.user ?? null)),
    };
    const clock = this.#command.admin?.inspects === true ? new PausableClock(systemClock) : null;
    const own = clock === null ? options : { ...options, clock };
    const machine = await usable(
      snapshot === null
        ? Machine.create({ ...own, memoryBytes, parameters })
        : Machine.restore(snapshot, own),
    );
    this.#vsock = vsock;
    this.#card = card;
    const guest = new GuestPorts(vsock, card?.user ?? null);
    this.#guest = guest;
    this.#machine = machine;
    const { breakpoints } = this.#inspector ?? this.#parts.kicks ?? {};
    const looked = { machine, ...this.#parts.kicks, breakpoints: breakpoints ?? [] };
    this.#inspector = clock && new Inspector({ ...looked, clock });
    machine.control.draining = this.#isRetired;
    await this.#publish(guest);
    if (vsockPath !== null) await available(vsock.publishPath(vsockPath));
    if (snapshot === null) boot(machine);
    if (machine.ended) log("debug", "torito", "the guest has ended while it booted");
    else void this.#open(machine, guest);
    return machine;
  }

  retire(isFinal = true): void {
    this.#isRetired = true;
    this.#isEnding ||= isFinal;
    if (isFinal) this.#inspector?.release(); // a machine that stands still does not drain
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
    await this.#ports.finish(BACKLOG_MS);
    await this.#ports.emptied();
    await this.#guest?.drain(QUIET_MS);
  }

  reset(): number {
    const waiting = this.#ports.waiting;
    this.#ports.keep([]);
    return waiting + (this.#guest?.resetClients() ?? 0);
  }

  /** Settings that hold now; others take effect with the next start. */
  get command(): Command {
    return this.#command;
  }

  mayReload(name: OptionName): boolean {
    return mayReloadWith(this.#parts.areNoted, name);
  }

  /**
   * Takes the settings of `next` that can be changed without a restart, and reads rules and opens
   * log files again: all of it, or nothing, and then it throws an Error that says why. `compiled`:
   * the rules, if somebody has read them already.
   */
  reload(next: Command, compiled?: CompiledSite | null): void {
    const opened = this.#accessLog?.change(next.accessLog);
    try {
      if (compiled) this.#site?.take(compiled);
      else if (next.site !== null) this.#site?.reload(next.site);
    } catch (error) {
      opened?.cancel();
      throw error;
    }
    opened?.commit();
    this.#machine?.control.settingsChanged();
    if (this.#site !== null && !compiled) reportWarnings(this.#site, this.#parts.log);
    this.#command = reloaded(this, next);
  }

  /** The end: of the ports, and of the machine. Resolves when all log lines are written. */
  async dispose(): Promise<void> {
    this.#lag?.disable();
    this.#ports.keep([]);
    this.#machine?.dispose();
    await this.#accessLog?.flushed();
  }

  async #publish(guest: GuestPorts): Promise<void> {
    for (const port of this.#bound) await guest.publishAt(port.address, port);
  }

  /** Takes clients of ports that others have too, from now on. */
  async #join(guest: GuestPorts, shared: Shared, late: (port: number) => void): Promise<void> {
    await untilListening(guest, this.#command.publish, late);
    await this.bind(await shared.descriptors());
    await this.#publish(guest);
    this.#ports.set("open");
  }

  /** Lets clients in, and says so. */
  async #open(machine: Machine, guest: GuestPorts): Promise<void> {
    const { shared, log } = this.#parts;
    const isCurrent = () => machine === this.#machine;
    const late = (port: number) =>
      log("warn", "torito", `nothing listens on port ${port} of the guest: it refuses clients`);
    try {
      if (shared !== null) await this.#join(guest, shared, late);
      else await openDoors(this.#ports, guest, this.#bound, isCurrent, late);
    } catch (error) {
      // The machine has ended, which is reported elsewhere, or it drains.
      log("debug", "torito", `not ready: ${(error as Error).message}`);
      return;
    }
    this.#isOpen = true;
    this.#parts.opened(this.#bound);
  }
}
