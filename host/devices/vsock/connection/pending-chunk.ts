// Bytes of a client that were read and are copied to the guest: at most one chunk. While it waits
// for credit or rx buffers the socket is paused, so the kernel's flow control slows the client
// down.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../../abi/vsock.ts";
import type { StreamSocket } from "../../../ports/sockets.ts";
import type { Chain } from "../../../virtqueue.ts";
import type { Deframer } from "./framing.ts";
import { CopyPath, type Ledger } from "./ledger.ts";
import { SINK } from "./peer.ts";

export class PendingChunk {
  /** Of a seqpacket connection. */
  readonly messages: Deframer | null;
  /** Flags of the packet that emit() has filled. */
  marks = 0;
  /** May the kernel hold bytes of the client that were not read? */
  unread = false;
  #socket: StreamSocket = SINK;
  #chunk: Uint8Array | null = null;
  #path: CopyPath = 0;
  #at = 0;
  #paused = false;

  constructor(messages: Deframer | null) {
    this.messages = messages;
  }

  attach(socket: StreamSocket): void {
    this.#socket = socket;
  }

  /** Payload bytes that wait. */
  get waiting(): number {
    return this.#chunk === null ? 0 : this.#chunk.length - this.#at;
  }

  get paused(): boolean {
    return this.#paused;
  }

  /** `chunk` must not change while bytes of it wait, unless keep() was called. */
  put(chunk: Uint8Array, path: CopyPath): void {
    if (this.#chunk !== null) throw new Error("vsock: a paused socket delivered data");
    this.#chunk = chunk;
    this.#path = path;
    this.#move(0);
  }

  /**
   * Copies as much as `credit` and the chain allow, after the header's place; returns the bytes.
   */
  emit(chain: Chain, credit: number, ledger: Ledger): number {
    const chunk = this.#chunk as Uint8Array;
    const most = this.messages?.remaining ?? VSOCK_PACKET_BYTES_MAX;
    const fits = Math.min(chain.writableBytes - VsockHdr.sizeof, VSOCK_PACKET_BYTES_MAX);
    const room = Math.min(fits, credit, most);
    const end = Math.min(chunk.length, this.#at + room);
    const whole = end - this.#at === chunk.length;
    const part = whole ? chunk : chunk.subarray(this.#at, end);
    const length = ledger.copy(this.#path, part, chain, VsockHdr.sizeof);
    this.marks = this.messages?.take(length) ?? 0;
    this.#move(end);
    return length;
  }

  /** Skips consumed bytes, and framing that follows. */
  #move(at: number): void {
    const chunk = this.#chunk as Uint8Array;
    this.#at = this.messages === null ? at : this.messages.seek(chunk, at);
    if (this.#at === chunk.length) this.#chunk = null;
  }

  /** Copies the bytes that wait, so that the chunk may be reused. */
  keep(ledger: Ledger): void {
    if (this.#chunk === null) return;
    const rest = new Uint8Array(this.waiting);
    ledger.copy(CopyPath.SpillIn, this.#chunk.subarray(this.#at), rest, 0);
    this.#chunk = rest;
    this.#at = 0;
  }

  pause(): void {
    if (this.#paused) return;
    this.#paused = true;
    this.unread = true;
    this.#socket.pause();
  }

  resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
  }

  /** Client bytes are discarded from now on. */
  discard(): void {
    this.#chunk = null;
    this.resume();
  }
}
