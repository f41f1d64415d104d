// The connections of one device: who may have one, how it begins and ends, and which of them a
// packet of the guest is for.
import { VMADDR_CID_HOST, VsockOp } from "../../../abi/vsock.ts";
import type { DeviceHost } from "../../device.ts";
import { limitLog } from "../../log.ts";
import type { StreamSocket } from "../../ports/sockets.ts";
import type { PairSocket } from "../../sockets/pair.ts";
import type { Chain } from "../../virtqueue.ts";
import { Budget } from "./budget.ts";
import { Connection } from "./connection/connection.ts";
import { Ledger } from "./connection/ledger.ts";
import { State } from "./connection/state.ts";
import { Deadlines } from "./deadlines.ts";
import type { Hub } from "./hub.ts";
import { limitsFor, type ReceiveMode, type VsockLimits } from "./limits.ts";
import type { VsockOptions } from "./options.ts";
import { Quiet } from "./quiet.ts";
import { Flushing } from "./rings/flushing.ts";
import type { GuestPacket } from "./rings/packet.ts";
import { RingShare } from "./rings/ring-share.ts";
import { ToGuest } from "./rings/to-guest.ts";
import type { Answered, Route } from "./routes/route.ts";
import type { Routes } from "./routes/routes.ts";
import type { SocketTypes } from "./routes/socket-types.ts";
import { Table } from "./routes/table.ts";
import { Stalls } from "./stalls.ts";
import { countFrom, countRefusal, FULL, type Refusal, type VsockStats } from "./stats.ts";

/** Of clients that are turned away. */
const LINES_PER_SECOND = 5;

export class Connections implements Hub {
  readonly ledger = new Ledger();
  readonly stats: VsockStats = countFrom(this.ledger);
  readonly share = new RingShare();
  readonly flushing = new Flushing();
  readonly receiveMode: ReceiveMode;
  readonly toGuest: ToGuest;
  budget: Budget;
  readonly deadlines: Deadlines;
  readonly stalls: Stalls;
  readonly #quiet: Quiet<Connection>;
  readonly settle: (atOnce?: boolean) => void;
  /** The guest's. */
  cid = 0;
  readonly #routes: Routes;
  readonly #types: SocketTypes;
  readonly #limits: Partial<VsockLimits> | undefined;
  readonly #table: Table<Connection>;
  #log: (message: string) => void = () => {};
  #isDraining = false; // no new connections
  #isDisposed = false;
  #drained: (() => void)[] = [];

  /** Throws if guests may not connect to one of the mapped ports. */
  constructor(
    options: VsockOptions,
    routes: Routes,
    types: SocketTypes,
    settle: (atOnce?: boolean) => void,
  ) {
    const { connect = new Map(), limits, receive = "adaptive", capture = null, sockets } = options;
    this.settle = settle;
    this.receiveMode = receive;
    this.#routes = routes;
    this.#types = types;
    this.#limits = limits;
    this.budget = new Budget({ ...limitsFor(0), ...limits });
    this.#table = new Table(connect.keys());
    this.deadlines = new Deadlines(this.#table.all, () => settle());
    this.stalls = new Stalls(sockets, () => settle());
    this.#quiet = new Quiet(this.#table.all, () => settle());
    this.toGuest = new ToGuest(this.stats, capture);
  }

  attach(host: DeviceHost): void {
    this.budget = new Budget({ ...limitsFor(host.memory.ramBytes), ...this.#limits });
    this.#log = limitLog(host.log, host.now, LINES_PER_SECOND);
    this.deadlines.attach(host);
    this.stalls.attach(host);
    this.#quiet.attach(host);
  }

  /** How many the guest has, as far as the device knows. */
  get known(): number {
    let count = 0;
    for (const one of this.#table.all) if (!one.isForgotten) count++;
    return count;
  }

  oldestFirst(): Connection[] {
    return this.#table.all.oldestFirst();
  }

  /** The address of a client; "": not known. */
  peerAddress(hostPort: number, guestPort: number): string {
    const found = this.#table.find(VMADDR_CID_HOST, hostPort, guestPort);
    return found?.peer.socket.peerAddress ?? "";
  }

  // ---- how they begin

  /** A client becomes a connection; null: there is no room, and the client is closed. */
  admit(socket: StreamSocket, guestPort: number): Connection | null {
    const connection = this.#request(this.#fromHost(guestPort), null, socket);
    if (connection === null) socket.close();
    return connection;
  }

  /** Another guest connects by `socket`. False: refused, and the socket is left as it is. */
  called(from: Route, socket: PairSocket): boolean {
    if (this.#table.find(from.peerCid, from.hostPort, from.guestPort) !== undefined) return false;
    return this.#request(from, socket.answered, socket) !== null;
  }

  /** A client of this process connects by `socket`. False: there is no room for it. */
  dialled(socket: PairSocket, guestPort: number): boolean {
    return this.#request(this.#fromHost(guestPort), socket.answered, socket) !== null;
  }

  /** Begins a connection without a socket, which ends as soon as it is accepted. */
  probe(guestPort: number, answered: Answered): boolean {
    return this.#request(this.#fromHost(guestPort), answered) !== null;
  }

  #fromHost(guestPort: number): Route {
    const type = this.#types.ofPort(guestPort);
    return { peerCid: VMADDR_CID_HOST, hostPort: this.#table.allocatePort(), guestPort, type };
  }

  /** Asks the guest for a connection; null: it is not possible. */
  #request(route: Route, answered: Answered | null, socket?: StreamSocket): Connection | null {
    const possible = !this.#isDraining && this.#types.has(route.type);
    const window = possible ? this.budget.take(route.type) : 0;
    if (socket !== undefined && window === 0) this.refused("room", possible ? FULL : undefined);
    if (window === 0) return null;
    if (socket !== undefined) this.stats.accepted++;
    const connection = new Connection(this, route, State.Requesting, window, answered);
    this.#add(connection, socket);
    return connection;
  }

  /** The guest asks for a connection. False: refused. */
  #connect(packet: GuestPacket): boolean {
    const { dstCid: peerCid, dstPort: hostPort, srcPort: guestPort, type } = packet;
    const isMapped = peerCid !== VMADDR_CID_HOST || type === this.#types.ofPort(hostPort);
    if (this.#isDraining || !isMapped || !this.#types.has(type)) return false;
    const window = this.budget.take(type);
    if (window === 0) return false;
    const socket = this.#routes.connect(this.cid, packet);
    if (socket === null) {
      this.budget.give(window);
      return false;
    }
    this.stats.connected++;
    const route = { peerCid, hostPort, guestPort, type };
    const connection = new Connection(this, route, State.Connecting, window);
    connection.learnCredit(packet);
    this.#add(connection, socket);
    return true;
  }

  #add(connection: Connection, socket?: StreamSocket): void {
    if (socket !== undefined) {
      socket.events = connection;
      connection.attach(socket);
    }
    this.#table.add(connection);
    this.stats.connections++;
  }

  // ---- packets of the guest

  /** True: a connection keeps the chain until its payload is sent. */
  readonly receive = (packet: GuestPacket, chain: Chain): boolean => {
    if (!this.#routes.has(packet.dstCid)) {
      this.stats.rejected++;
      return false;
    }
    this.stats.packetsFromGuest++;
    const found = this.#table.find(packet.dstCid, packet.dstPort, packet.srcPort);
    // V9, V33: another type is another socket, even with these ports.
    const connection = found?.route.type === packet.type ? found : undefined;
    if (!packet.fits(chain)) {
      this.stats.rejected++;
      if (connection !== undefined) connection.abort();
      else this.#refuse(packet);
      return false;
    }
    if (connection !== undefined) return connection.receive(packet, chain);
    if (packet.op === VsockOp.REQUEST && this.#connect(packet)) return false;
    this.#refuse(packet);
    return false;
  };

  /** V30: a packet without a connection is answered by RST, unless it is one. */
  #refuse(packet: GuestPacket): void {
    if (packet.op !== VsockOp.RST) this.toGuest.reset(packet);
  }

  // ---- how they end

  freePorts(connection: Connection): void {
    this.#table.freePorts(connection);
  }

  gone(connection: Connection): void {
    this.#table.all.delete(connection);
    this.budget.give(connection.charged);
    this.stats.connections--;
    connection.ended?.();
    this.#checkDrained();
  }

  refused(reason: Refusal, error?: Error): void {
    countRefusal(this.stats, reason);
    if (error !== undefined) this.#log(`a client was turned away: ${error.message}`);
  }

  /** Drops those whose type the driver has not negotiated. */
  cutUnknownTypes(): void {
    for (const one of this.#table.all) if (!this.#types.has(one.route.type)) one.cut();
  }

  /** Drops all of them without telling the guest, whose memory is not touched any more. */
  cutAll(): void {
    for (const one of this.#table.all) one.cut();
  }

  /** drain() may come soon: from now on it is noticed which clients are silent. */
  watchQuiet(): void {
    this.#quiet.watch();
  }

  /**
   * Begins no more, ends those that have been quiet for `quietMs`, and resolves when the last
   * connection has ended. Without a guest to end them (`hasGuest`) they are dropped.
   */
  drain(hasGuest: boolean, quietMs: number): Promise<void> {
    this.#isDraining = true;
    const drained = new Promise<void>((resolve) => this.#drained.push(resolve));
    if (hasGuest) this.#quiet.end(quietMs);
    else this.cutAll();
    this.#checkDrained();
    return drained;
  }

  /** Resets the clients that are left. Returns how many there were. */
  resetAll(): number {
    let count = 0;
    for (const one of this.#table.all) {
      if (one.peer.open) count++;
      one.abort();
    }
    return count;
  }

  /** The machine goes away. */
  dispose(): void {
    this.#isDraining = this.#isDisposed = true;
    this.deadlines.stop();
    this.stalls.stop();
    this.#quiet.stop();
  }

  /** Nobody need wait for sockets that still close. */
  disposed(): void {
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (!this.#isDisposed && (!this.#isDraining || this.#table.all.size > 0)) return;
    if (this.#drained.length > 0) this.#quiet.stop();
    for (const resolve of this.#drained.splice(0)) resolve();
  }
}
