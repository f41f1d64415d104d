// UDP in tests: datagrams made and taken apart on their own, and endpoints of the guest.
import { IPPROTO_UDP } from "../../abi/ip.ts";
import { card, type Ip, internetChecksum, ip, ipFrame, ipNumber, type parse } from "./frames.ts";
import type { NetGuest } from "./net-guest.ts";

export interface Udp {
  /** Of the frame and of IP; default: 10.0.0.2 sends to the guest. */
  readonly ip?: Partial<Ip>;
  readonly from?: number;
  readonly to: number;
  readonly data?: Uint8Array;
  /** Default: as they should be. */
  readonly length?: number;
  readonly checksum?: number;
}

/** RFC 768: the checksum of a datagram whose field is 0, never 0 itself. */
export function udpChecksum(source: string, destination: string, datagram: Uint8Array): number {
  const pseudo = Buffer.concat([ip(source), ip(destination), Buffer.from([0, IPPROTO_UDP, 0, 0])]);
  pseudo.writeUInt16BE(datagram.length, 10);
  return internetChecksum(Buffer.concat([pseudo, datagram])) || 0xffff;
}

/** The packet of UDP alone. */
export function udpPacket(u: Udp, source: string, destination: string): Buffer {
  const bytes = Buffer.concat([Buffer.alloc(8), u.data ?? new Uint8Array(0)]);
  bytes.writeUInt16BE(u.from ?? 5000, 0);
  bytes.writeUInt16BE(u.to, 2);
  bytes.writeUInt16BE(u.length ?? bytes.length, 4);
  bytes.writeUInt16BE(u.checksum ?? udpChecksum(source, destination, bytes), 6);
  return bytes;
}

export function udpFrame(u: Udp): Buffer {
  const fields = { to: card(1), from: card(2), source: "10.0.0.2", destination: "10.0.0.1" };
  const all = { ...fields, ...u.ip };
  const payload = udpPacket(u, all.source, all.destination);
  return ipFrame({ protocol: IPPROTO_UDP, payload, ...all });
}

/** A datagram that the guest has sent; throws if its lengths or its checksum are wrong. */
export function parseUdp(sent: ReturnType<typeof parse>) {
  if (sent.kind !== "ip" || sent.protocol !== IPPROTO_UDP) throw new Error(`not UDP: ${sent.kind}`);
  const { payload, source, destination } = sent;
  const bytes = Buffer.from(payload);
  const checksum = bytes.readUInt16BE(6);
  bytes.writeUInt16BE(0, 6);
  if (bytes.readUInt16BE(4) !== bytes.length) throw new Error("wrong length");
  if (checksum !== udpChecksum(source, destination, bytes)) throw new Error("wrong checksum");
  const [from, port] = [bytes.readUInt16BE(0), bytes.readUInt16BE(2)];
  return { ...sent, from, port, checksum, data: bytes.subarray(8) };
}

/** A port of the guest, with its queue. */
export class Endpoint {
  readonly #guest: NetGuest;
  readonly handle: number;

  /** `remote` is the only peer that it takes datagrams of. Throws the guest's negative error. */
  constructor(guest: NetGuest, port = 0, remote?: readonly [string, number]) {
    const peer = remote === undefined ? 0 : ipNumber(remote[0]) | 0;
    this.#guest = guest;
    this.handle = guest.call("udpOpen", port, peer, remote?.[1] ?? 0);
    if (this.handle < 0) throw new Error(String(this.handle));
  }

  get port(): number {
    return this.#guest.call("udpPort", this.handle);
  }

  /** How often its peer has refused a datagram. */
  get refusals(): number {
    return this.#guest.call("udpRefusals", this.handle);
  }

  send(to: string, port: number, data: Uint8Array): number {
    const at = this.#guest.call("ToroGetMem", data.length + 1) >>> 0;
    this.#guest.machine.memory.bytes(at, data.length).set(data);
    const sent = this.#guest.call("udpSend", this.port, ipNumber(to) | 0, port, at, data.length);
    this.#guest.call("ToroFreeMem", at);
    return sent;
  }

  /** The oldest datagram in the queue. */
  take(): { from: string; port: number; data: Buffer } | undefined {
    const at = this.#guest.call("ToroGetMem", 65_600) >>> 0;
    const found = this.#guest.call("udpTake", this.handle, at) !== 0;
    const { memory } = this.#guest.machine;
    const word = (i: number) => memory.view.getUint32(at + i * 4, true);
    const taken = found
      ? {
          from: [24, 16, 8, 0].map((shift) => (word(0) >>> shift) & 255).join("."),
          port: word(1),
          data: Buffer.from(memory.bytes(at + 12, word(2))),
        }
      : undefined;
    this.#guest.call("ToroFreeMem", at);
    return taken;
  }

  /** All of them. */
  takeAll() {
    const all: NonNullable<ReturnType<Endpoint["take"]>>[] = [];
    for (let one = this.take(); one !== undefined; one = this.take()) all.push(one);
    return all;
  }

  close(): void {
    this.#guest.call("udpClose", this.handle);
  }
}
