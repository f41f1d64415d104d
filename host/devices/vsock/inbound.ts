// Payload on its way from the socket of one connection to the guest: one chunk at most. While it
// waits for credit or rx buffers the socket is paused, so that the client feels the guest's pace.
import { VSOCK_PACKET_BYTES_MAX, VsockHdr } from "../../../drivers/abi/vsock.ts";
import type { StreamSocket } from "../../sockets.ts";
import type { Chain } from "../../virtqueue.ts";
import { SINK } from "./sink.ts";

/** A read of this size may have left more in the kernel. */
const READ_BYTES_MAX = 65536;

export class Inbound {
  /** May the kernel hold bytes of the client that were not read? */
  unread = false;
  #socket: StreamSocket = SINK;
  #chunk: Uint8Array | null = null;
  #at = 0;
  #paused = false;

  attach(socket: StreamSocket): void {
    this.#socket = socket;
  }

  get empty(): boolean {
    return this.#chunk === null;
  }

  /** Bytes were read that nobody wants. */
  skip(chunk: Uint8Array): void {
    this.unread = chunk.length >= READ_BYTES_MAX;
  }

  put(chunk: Uint8Array): void {
    if (this.#chunk !== null) throw new Error("vsock: a paused socket delivered data");
    this.unread = chunk.length >= READ_BYTES_MAX;
    this.#chunk = chunk;
    this.#at = 0;
  }

  /**
   * Copies behind the header's place as much as `credit` and the chain allow; returns the bytes.
   */
  emit(chain: Chain, credit: number): number {
    const chunk = this.#chunk as Uint8Array;
    const room = Math.min(chain.writableBytes - VsockHdr.sizeof, credit, VSOCK_PACKET_BYTES_MAX);
    const end = Math.min(chunk.length, this.#at + room);
    const whole = end - this.#at === chunk.length;
    const part = whole ? chunk : chunk.subarray(this.#at, end);
    const length = chain.copyTo(VsockHdr.sizeof, part);
    this.#at = end;
    if (end === chunk.length) this.#chunk = null;
    return length;
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

  /** Bytes of the client lead nowhere from now on. */
  discard(): void {
    this.#chunk = null;
    this.resume();
  }
}
