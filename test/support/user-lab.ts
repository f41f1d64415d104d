// A guest on a `user` network, played by the test: real rings, sockets and datagrams of the host
// that are plain objects, a clock that the test turns, and a TCP of its own (tcp-peer.ts).
import { ETH_P_IP } from "../../abi/ethernet.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../abi/ip.ts";
import { NetHdr } from "../../abi/net.ts";
import { Workshop } from "../../host/devices/net/user/workshop.ts";
import { UserNetwork, type UserNetworkOptions } from "../../host/devices/net/user.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import type { DatagramEvents, DatagramSocket, Datagrams } from "../../host/ports/datagrams.ts";
import type { TcpAddress } from "../../host/ports/sockets.ts";
import { card, type Ip, internetChecksum, ip, ipFrame } from "./frames.ts";
import { NetPuppet, type NetPuppetOptions } from "./net-puppet.ts";
import { pseudoHeader, readWork, workHeader } from "./tcp-frames.ts";
import {
  parseTcp,
  parseUdp,
  segmentText,
  type TcpArrival,
  type TcpFields,
  tcpSegment,
  type UdpFields,
  udpDatagram,
} from "./transport-frames.ts";
import { FakeNetwork } from "./vsock-puppet.ts";

export const GATEWAY = "10.0.2.2";
export const RESOLVER = "10.0.2.3";
export const GUEST = "10.0.2.15";
export const GATEWAY_MAC = "52:55:0a:00:02:02";
export const RESOLVER_MAC = "52:55:0a:00:02:03";

/** A datagram socket that the test is the peer of. */
export class FakeDatagramSocket implements DatagramSocket {
  readonly target: TcpAddress;
  readonly events: DatagramEvents;
  readonly sent: Buffer[] = [];
  isBusy = false;
  isClosed = false;

  constructor(target: TcpAddress, events: DatagramEvents) {
    this.target = target;
    this.events = events;
  }

  send(bytes: Uint8Array): boolean {
    if (this.isBusy) return false;
    this.sent.push(Buffer.from(bytes));
    return true;
  }

  close(): void {
    this.isClosed = true;
  }
}

export class FakeDatagrams implements Datagrams {
  readonly sockets: FakeDatagramSocket[] = [];

  connect(target: TcpAddress, events: DatagramEvents): FakeDatagramSocket {
    const socket = new FakeDatagramSocket(target, events);
    this.sockets.push(socket);
    return socket;
  }
}

export interface UserLabOptions extends Partial<UserNetworkOptions> {
  readonly guest?: NetPuppetOptions;
  /** Of its memory; by default as many as it has. */
  readonly slabsEachWay?: number;
}

/** A network over sockets of the test's, without a guest. */
export function userNetwork(options: Partial<UserNetworkOptions> = {}, slabsEachWay?: number) {
  const workshop = new Workshop(slabsEachWay);
  const sockets = new FakeNetwork();
  const datagrams = new FakeDatagrams();
  let seed = 0;
  const network = new UserNetwork({
    ...{ sockets, datagrams, workshop },
    ownAddresses: () => ["127.0.0.1", "192.168.7.7"],
    resolvers: () => ["192.168.7.1"],
    entropy: (into) => into.fill(++seed),
    ...options,
  });
  return { sockets, datagrams, network, workshop };
}

export class UserLab {
  readonly clock = new ManualClock();
  readonly sockets: FakeNetwork;
  readonly datagrams: FakeDatagrams;
  readonly network: UserNetwork;
  readonly workshop: Workshop;
  readonly guest: NetPuppet;
  /** An octet of TCP's segments that is changed on the way. */
  corrupt: number | null = null;
  /** Does the guest leave checksums of TCP, and cutting long segments, to the card? */
  leavesSums = false;
  /** Where it says that the header of TCP begins. */
  workStart = 34;
  #batch: Uint8Array[] | null = null;

  constructor({ guest = {}, slabsEachWay, ...options }: UserLabOptions = {}) {
    const { sockets, datagrams, network, workshop } = userNetwork(options, slabsEachWay);
    this.workshop = workshop;
    this.sockets = sockets;
    this.datagrams = datagrams;
    this.network = network;
    const rx = { rxBuffer: [12, 65534], rxBuffers: 24, ...guest };
    this.guest = new NetPuppet({ network, clock: this.clock, mac: card(1), ...rx });
  }

  get stats() {
    return this.network.stats;
  }

  /** Any packet of the guest. */
  ip(fields: Partial<Ip>): void {
    const addresses = { source: GUEST, destination: GATEWAY, to: GATEWAY_MAC, from: card(1) };
    const frame = ipFrame({ ...addresses, ...fields });
    if (this.#batch !== null) {
      this.#batch.push(frame);
      return;
    }
    this.guest.send(frame);
    this.guest.tx.used();
  }

  /** All that `send` sends leaves the guest in one turn. */
  together(send: () => void): void {
    this.#batch = [];
    send();
    this.guest.send(...this.#batch);
    this.guest.tx.used();
    this.#batch = null;
  }

  /** A segment of the guest's, to port 5001 of the gateway unless told otherwise. */
  tcp(fields: Partial<TcpFields>, { destination = GATEWAY, source = GUEST } = {}): void {
    const all = { sourcePort: 50000, port: 5001, flags: 0, ...fields };
    const payload = tcpSegment(source, destination, all);
    if (this.leavesSums) {
      this.#sendPartial(source, destination, payload);
      return;
    }
    if (this.corrupt !== null) payload[this.corrupt] = (payload[this.corrupt] as number) ^ 0x10;
    this.ip({ source, destination, protocol: IPPROTO_TCP, payload });
  }

  #sendPartial(source: string, destination: string, segment: Buffer): void {
    const both = Buffer.concat([ip(source), ip(destination)]);
    const sum = internetChecksum(pseudoHeader(IPPROTO_TCP, segment.length, both));
    segment.writeUInt16BE(~sum & 0xffff, 16);
    const addresses = { source, destination, to: GATEWAY_MAC, from: card(1) };
    const frame = ipFrame({ ...addresses, protocol: IPPROTO_TCP, payload: segment });
    const isLong = frame.length > this.guest.device.mtu + 14;
    const work = isLong ? { type: 1, size: this.guest.device.mtu - 40 } : {};
    this.guest.sendRaw([workHeader({ start: this.workStart, ...work }), frame]);
    this.guest.tx.used();
  }

  udp(fields: UdpFields, { destination = GATEWAY, source = GUEST, to = GATEWAY_MAC } = {}): void {
    const payload = udpDatagram(source, destination, fields);
    this.ip({ source, destination, to, protocol: IPPROTO_UDP, payload });
  }

  /** Segments that have arrived, all of them with the right checksums, or as they are left. */
  segments(repost = true): TcpArrival[] {
    const filled = this.guest.used(repost).filter(({ len }) => len > 0);
    return filled.flatMap(({ bytes, len }) => {
      const frame = Buffer.from(bytes.subarray(NetHdr.sizeof, len));
      const segment = frame.readUInt16BE(12) === ETH_P_IP ? parseTcp(frame) : null;
      if (segment === null) return [];
      const isLeft = readWork(bytes.subarray(0, NetHdr.sizeof)).flags === 1;
      const isGood = isLeft ? segment.isPartial : segment.isSound;
      if (!isGood) throw new Error("a segment with a wrong checksum has arrived");
      return [segment];
    });
  }

  /** As in ["SYN ACK", "PSH ACK 100"]. */
  texts(): string[] {
    return this.segments().map(segmentText);
  }

  /** Datagrams that have arrived. */
  datagramsTaken() {
    return this.guest.take().flatMap((one) => parseUdp(one) ?? []);
  }

  advance(ms: number): void {
    this.clock.advance(ms);
    this.guest.settle();
  }
}
