// A stream socket on a handle of libuv, below net.Socket. It reads into a buffer of ours from the
// first byte: one stage for all sockets, or the buffers of a ReadSource. Nothing is allocated for a
// read, nor for a write that the kernel takes at once.
import type { AddressInfo } from "node:net";
import { getSystemErrorName } from "node:util";
import {
  NOBODY,
  type ReadSource,
  type SocketEvents,
  type StreamSocket,
} from "../../ports/sockets.ts";
import { keyOf } from "./acknowledged.ts";
import { KEEP_ALIVE_MS } from "./net-stream.ts";
import {
  binding,
  descriptorOf,
  type Handle,
  isBroken,
  type Request,
  readError,
} from "./undocumented.ts";

/** libuv's own, the same on every system. */
const UV_EOF = -4095;
/** The most that libuv reads at once. */
const STAGE_BYTES = 65536;
/** Shared by all sockets: nothing else is read before data() has returned. */
const STAGE = new Uint8Array(STAGE_BYTES);

/** A handle finds its stream here: all share their callbacks, and none needs a closure. */
interface OwnedHandle extends Handle {
  owner: HandleStream;
}

interface OwnedRequest extends Request {
  owner?: HandleStream;
  /** The bytes of a write under way, which must outlive it. */
  parts?: readonly Uint8Array[];
}

function onread(this: Handle): Uint8Array | undefined {
  const { streamBaseState, kReadBytesOrError } = binding();
  return (this as OwnedHandle).owner.read(streamBaseState[kReadBytesOrError] as number);
}
function onwritten(this: OwnedRequest, status: number): void {
  this.owner?.written(this, status);
}
function onended(this: OwnedRequest): void {
  this.owner?.sendingEnded();
}
function onconnected(this: OwnedRequest, status: number): void {
  this.owner?.opened(status);
}
function onclosed(this: unknown): void {
  (this as OwnedHandle).owner.gone();
}
/** Closed streams whose owners do not know it yet. Each has a microtask. */
const closed: HandleStream[] = [];
const SETTLED = Promise.resolve();
function tellClosed(): void {
  closed.shift()?.gone();
}
function breakOff(stream: HandleStream, status: number, call: string): void {
  stream.break(uvError(status, call));
}

/** As Node words it. */
export function uvError(status: number, syscall: string): Error {
  const code = getSystemErrorName(status);
  return Object.assign(new Error(`${syscall} ${code}`), { code, errno: status, syscall });
}

/** A write that the kernel took at once leaves its request as it was: the next one uses it. */
let spare: OwnedRequest | null = null;

export class HandleStream implements StreamSocket {
  events: SocketEvents = NOBODY;
  readonly #handle: Handle;
  readonly #tcp: boolean;
  #source: ReadSource | null = null;
  #buffer: Uint8Array = STAGE; // that the next read fills
  #isReading = false; // within onread
  #isOpen: boolean; // connected
  #isPaused = false;
  #hasEnded = false; // the peer
  #isEnding = false; // end() was called
  #isShuttingDown = false; // the kernel is about to hear of it
  #sendingHasEnded = false; // and the kernel knows
  #isClosed = false;
  #write: OwnedRequest | null = null; // under way
  #key: string | null = null; // cached
  #peerAddress: string | null = null; // cached

  constructor(handle: Handle, tcp: boolean, isOpen: boolean) {
    this.#handle = handle;
    this.#tcp = tcp;
    this.#isOpen = isOpen;
    (handle as OwnedHandle).owner = this;
    handle.onread = onread;
    if (isOpen) this.#begin();
  }

  /** Of a handle that is to connect: `start` begins that with the request. */
  connect(request: Request, start: (request: Request) => number): void {
    (request as OwnedRequest).owner = this;
    request.oncomplete = onconnected;
    const status = start(request);
    if (status < 0) this.breakLater(status, "connect");
  }

  readInto(source: ReadSource): boolean {
    if (this.#isClosed || this.#hasEnded) return false;
    this.#source = source;
    const buffer = source.buffer();
    // Within onread its result says so.
    if (this.#isOpen && !this.#isReading && buffer !== this.#buffer) {
      this.#handle.useUserBuffer(buffer);
    }
    this.#buffer = buffer;
    return true;
  }

  send(parts: readonly Uint8Array[]): boolean {
    if (this.#write !== null) throw new Error("a second send began while one was in flight");
    if (this.#isClosed) return false;
    const { WriteWrap, streamBaseState, kLastWriteWasAsync } = binding();
    const request: OwnedRequest = spare ?? new WriteWrap();
    spare = null;
    const status =
      parts.length === 1
        ? this.#handle.writeBuffer(request, parts[0] as Uint8Array)
        : this.#handle.writev(request, parts, true);
    if (status < 0) {
      this.breakLater(status, "write");
      return false;
    }
    if (streamBaseState[kLastWriteWasAsync] === 0) {
      spare = request;
      return true;
    }
    request.owner = this;
    request.oncomplete = onwritten;
    request.parts = parts.slice();
    this.#write = request;
    return false;
  }

  get unsent(): number {
    return this.#isClosed ? 0 : this.#handle.writeQueueSize;
  }

  get key(): string | null {
    if (!this.#tcp || !this.#isOpen || this.#isClosed) return null;
    this.#key ??= this.#findKey();
    return this.#key;
  }

  /** Asked for with every request that is logged; the kernel is asked once. */
  get peerAddress(): string {
    this.#peerAddress ??= this.#findPeer();
    return this.#peerAddress;
  }

  peerGone(): boolean | undefined {
    return isBroken(descriptorOf(this.#handle));
  }

  end(): void {
    if (this.#isClosed || this.#isEnding) return;
    this.#isEnding = true;
    // While a shutdown is under way libuv refuses to reset: it begins as late as possible.
    if (this.#write === null) this.#shutDown();
  }

  pause(): void {
    if (this.#isPaused) return;
    this.#isPaused = true;
    if (this.#isOpen && !this.#isClosed) this.#handle.readStop();
  }

  resume(): void {
    if (!this.#isPaused) return;
    this.#isPaused = false;
    if (this.#isOpen && !this.#isClosed && !this.#hasEnded) this.#handle.readStart();
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    // The kernel may still read the bytes of a write. With nothing under way Node's own callback
    // would say no more than this, and is a twentieth of what a short connection costs.
    if (this.#write !== null) {
      this.#handle.close(onclosed);
      return;
    }
    this.#handle.close();
    closed.push(this);
    void SETTLED.then(tellClosed);
  }

  reset(): void {
    if (this.#isClosed) return;
    // AF_UNIX has no reset. While a shutdown is under way libuv refuses it, after which Node would
    // not close the handle either; the kernel has all bytes then.
    if (!this.#tcp || !this.#isOpen || this.#isShuttingDown) {
      this.close();
      return;
    }
    this.#isClosed = true;
    this.#handle.reset?.(onclosed);
  }

  // ---- called by the handle

  /** `got` bytes are in the buffer, or it is an error. Returns the buffer of the next read. */
  read(got: number): Uint8Array | undefined {
    if (this.#isClosed) return undefined;
    if (got > 0) return this.#take(got);
    if (got === UV_EOF) this.#end();
    else if (got < 0) this.break(uvError(got, "read"));
    return undefined;
  }

  written(request: OwnedRequest, status: number): void {
    request.parts = undefined;
    if (this.#isClosed) return; // ECANCELED, most likely; closed() follows
    this.#write = null;
    if (status < 0) {
      this.break(uvError(status, "write"));
      return;
    }
    if (this.#isEnding) this.#shutDown();
    this.events.sent();
  }

  sendingEnded(): void {
    this.#isShuttingDown = false;
    this.#sendingHasEnded = true;
    this.#checkOver();
  }

  opened(status: number): void {
    if (this.#isClosed) return;
    if (status < 0) {
      this.break(uvError(status, "connect"));
      return;
    }
    if (this.#tcp) this.#handle.setNoDelay?.(true);
    this.#isOpen = true;
    this.#begin();
    this.events.connected();
  }

  gone(): void {
    this.events.closed();
  }

  /** The connection is of no use. */
  break(error: Error): void {
    if (this.#isClosed) return;
    this.events.failed(error);
    this.close();
  }

  /** The same, not from within a call of the owner's. */
  breakLater(status: number, call: string): void {
    process.nextTick(breakOff, this, status, call);
  }

  // ---- inside

  #begin(): void {
    this.#handle.useUserBuffer(this.#buffer);
    if (!this.#isPaused) this.#handle.readStart();
  }

  #take(bytes: number): Uint8Array | undefined {
    this.#isReading = true;
    if (this.#source === null) {
      this.events.data(STAGE.subarray(0, bytes));
    } else {
      this.#source.filled(bytes);
      if (!this.#isClosed) this.#buffer = this.#source.buffer();
    }
    this.#isReading = false;
    return this.#buffer;
  }

  #end(): void {
    const error = readError(descriptorOf(this.#handle));
    if (error !== null) {
      this.break(error);
      return;
    }
    this.#hasEnded = true;
    this.#handle.readStop();
    // A TCP peer that is gone for good answers probes with RST, which makes peerGone() true.
    if (this.#tcp) this.#handle.setKeepAlive?.(true, KEEP_ALIVE_MS / 1000);
    this.events.end();
    this.#checkOver();
  }

  #shutDown(): void {
    const request: OwnedRequest = new (binding().ShutdownWrap)();
    request.owner = this;
    request.oncomplete = onended;
    this.#isShuttingDown = true;
    // ENOTCONN: the peer has reset the connection, as the next read will tell.
    if (this.#handle.shutdown(request) < 0) process.nextTick(sendingEnded, this);
  }

  /** As net.Socket, which destroys itself when both directions are over. */
  #checkOver(): void {
    if (this.#hasEnded && this.#sendingHasEnded) this.close();
  }

  #findPeer(): string {
    const remote: Partial<AddressInfo> = {};
    this.#handle.getpeername?.(remote);
    return remote.address ?? "";
  }

  #findKey(): string | null {
    const local: Partial<AddressInfo> = {};
    const remote: Partial<AddressInfo> = {};
    this.#handle.getsockname?.(local);
    this.#handle.getpeername?.(remote);
    const { address: localAddress, port: localPort } = local;
    const { address: remoteAddress, port: remotePort } = remote;
    if (localAddress === undefined || localPort === undefined) return null;
    if (remoteAddress === undefined || remotePort === undefined) return null;
    return keyOf({ localAddress, localPort, remoteAddress, remotePort });
  }
}

function sendingEnded(stream: HandleStream): void {
  stream.sendingEnded();
}
