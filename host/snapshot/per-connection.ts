// A machine for each connection: nothing that one client leaves behind can reach another. Clients
// come in, each takes a machine of a pool, and gives it back when its connection has ended.
import type { VsockDevice } from "../devices/vsock.ts";
import { type Log, limitLog } from "../log.ts";
import type { Clock } from "../ports/clock.ts";
import { NOBODY, type SocketEvents, type StreamSocket } from "../ports/sockets.ts";
import type { MachinePool, PooledMachine } from "./pool.ts";
import type { RestoreOptions } from "./restore.ts";

/** A machine whose clients come by this device, which is one of its devices. */
export interface ServingOptions extends RestoreOptions {
  readonly vsock: VsockDevice;
}

export class PerConnection {
  readonly #pool: MachinePool<ServingOptions>;
  readonly #clock: Pick<Clock, "defer">;
  readonly #log: Log;
  readonly #refused: (reason: string) => void;
  #clients = 0; // that have a machine, or wait for one
  #areWaiting = false;
  #drained: (() => void)[] = [];

  constructor(pool: MachinePool<ServingOptions>, log: Log, clock: Pick<Clock, "defer" | "now">) {
    this.#pool = pool;
    this.#clock = clock;
    this.#log = log;
    const warn = (message: string) => log("warn", "torito", message);
    this.#refused = limitLog(warn, () => clock.now(), 1);
  }

  /** Clients that have a machine, or wait for one. */
  get clients(): number {
    return this.#clients;
  }

  /**
   * A client has connected, for a port of the guest. While all machines are taken it waits, unread;
   * when too many wait it is closed.
   */
  accepted(socket: StreamSocket, guestPort: number): void {
    this.#clients++;
    socket.pause();
    const waiting = new Waiting();
    socket.events = waiting;
    const taking = this.#pool.take();
    this.#tellOfWaiting();
    taking.then(
      (one) => {
        this.#tellOfWaiting();
        this.#serve(one, socket, guestPort, waiting);
      },
      (error: Error) => {
        socket.close();
        this.#refused(`a client was turned away: ${error.message}`);
        this.#left();
      },
    );
  }

  /** Resolves when no client is left. */
  drain(): Promise<void> {
    return new Promise((resolve) => {
      this.#drained.push(resolve);
      this.#checkDrained();
    });
  }

  #serve(
    one: PooledMachine<ServingOptions>,
    socket: StreamSocket,
    guestPort: number,
    waiting: Waiting,
  ): void {
    // Not at once: the connection may end in a turn of the guest, which cannot go back then.
    const ended = () =>
      this.#clock.defer(() => {
        one.release();
        this.#left();
      });
    if (waiting.isClosed) {
      ended();
      return;
    }
    one.made.vsock.accept(socket, guestPort, ended);
    socket.resume();
  }

  /** One line when clients begin to wait, and one when none does any more. */
  #tellOfWaiting(): void {
    const { waiting, taken } = this.#pool;
    if (waiting > 0 && !this.#areWaiting) {
      this.#areWaiting = true;
      this.#log("warn", "torito", `all ${taken} machines are taken: clients wait for one`);
    } else if (waiting === 0 && this.#areWaiting) {
      this.#areWaiting = false;
      this.#log("info", "torito", "no client waits for a machine any more");
    }
  }

  #left(): void {
    this.#clients--;
    this.#checkDrained();
  }

  #checkDrained(): void {
    if (this.#clients === 0) for (const resolve of this.#drained.splice(0)) resolve();
  }
}

/** A client that waits. It is not read, so that all it can do is leave. */
class Waiting implements SocketEvents {
  isClosed = false;
  readonly connected = NOBODY.connected;
  readonly data = NOBODY.data;
  readonly end = NOBODY.end;
  readonly sent = NOBODY.sent;
  readonly failed = NOBODY.failed;

  closed(): void {
    this.isClosed = true;
  }
}
