// A listening port that threads of this process accept clients from, each through a descriptor of
// its own. This side never accepts: clients wait in the kernel while no thread does.

import { lookup } from "node:dns/promises";
import type { AddressInfo } from "node:net";
import { isIPv6 } from "node:net";
import type { InheritedSocket, TcpAddress } from "../../ports/sockets.ts";
import { bindError } from "./bind.ts";
import { duplicate, duplicatesFault } from "./duplicate.ts";
import { uvError } from "./handle-stream.ts";
import { binding, type Handle } from "./undocumented.ts";

/** Why threads cannot share a port here, or "". */
export function sharingFault(): string {
  const fault = duplicatesFault();
  return fault === "" ? "" : `threads cannot share a port here: ${fault}`;
}

/** Of a claim: nobody's yet, the thread's, or taken back. */
const FREE = 0;
const CLAIMED = 1;
const TAKEN_BACK = 2;

/** A descriptor for another thread, which claims it before it opens it. */
export interface SharedDescriptor {
  readonly fd: number;
  /** Shared memory: whoever changes it from FREE is the only one to close the number. */
  readonly claim: Int32Array;
  /** Closes it, unless the other thread has claimed it. */
  takeBack(): void;
}

/** Is the descriptor this thread's from now on? It opens it at once, if so. */
export function claimed(claim: Int32Array): boolean {
  return Atomics.compareExchange(claim, 0, FREE, CLAIMED) === FREE;
}

export class SharedPort {
  readonly #handle: Handle;

  /**
   * Binds the address, or takes a socket that listens already; from then on clients can connect.
   * Rejects with the address and the reason in the message. Only if sharingFault() is "".
   */
  static async bind(address: TcpAddress | InheritedSocket, backlog: number): Promise<SharedPort> {
    const { TCP, tcpServer } = binding();
    const handle = new TCP(tcpServer);
    try {
      if ("fd" in address) check(handle.open?.(address.fd), "open");
      else await bindTo(handle, address);
      if (!("fd" in address)) await listen(handle, backlog);
    } catch (error) {
      handle.close(() => {});
      throw bindError(address, error as NodeJS.ErrnoException);
    }
    return new SharedPort(handle);
  }

  private constructor(handle: Handle) {
    this.#handle = handle;
  }

  /** For a thread that accepts from now on, until it closes the number or ends. */
  async descriptor(): Promise<SharedDescriptor> {
    const copy = await duplicate(this.#handle);
    const claim = new Int32Array(new SharedArrayBuffer(4));
    const takeBack = () => {
      const before = Atomics.compareExchange(claim, 0, FREE, TAKEN_BACK);
      if (before === FREE) copy.close(() => {});
    };
    return { fd: copy.fd, claim, takeBack };
  }

  /** Threads that accept still do. The last descriptor that is closed closes the port. */
  close(): void {
    this.#handle.close(() => {});
  }
}

function check(status: number | undefined, call: string): void {
  if (status !== undefined && status < 0) throw uvError(status, call);
}

async function bindTo(handle: Handle, { host, port }: TcpAddress): Promise<void> {
  const { address } = await lookup(host);
  if (isIPv6(address)) check(handle.bind6?.(address, port), "bind");
  else check(handle.bind?.(address, port), "bind");
  const bound: Partial<AddressInfo> = {};
  check(handle.getsockname?.(bound), "bind"); // libuv reports EADDRINUSE late
}

/** libuv accepts from a handle that listens; but it is the socket that does, whoever asked. */
async function listen(handle: Handle, backlog: number): Promise<void> {
  const copy = await duplicate(handle);
  const status = copy.listen?.(backlog);
  copy.close(() => {}); // before the event loop looks at it
  check(status, "listen");
}
