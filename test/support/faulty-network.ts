// A network that does to frames what networks do: it loses, repeats, delays, reorders and damages
// them, has a path that is narrower than the cards think, and goes away for a while. By seed.
import { joinBytes } from "../../host/bytes.ts";
import { type Frame, WholeFrame, wireBytesOf } from "../../host/devices/net/frame.ts";
import type { Card, Network, Port } from "../../host/devices/net/network.ts";
import { internetChecksum, ipFrame, macOf } from "./frames.ts";
import type { Random } from "./simulation-random.ts";

export interface Faults {
  /** Chances, of 1. */
  loss: number;
  duplication: number;
  corruption: number;
  /** Frames that are late by up to `lateMs` more than the others. */
  lateness: number;
  lateMs: number;
  /** Every frame takes this long; 0: none. */
  delayMs: number;
  /** Of IP packets; a longer one is answered by ICMP. 0: no limit. */
  pathMtu: number;
}

export const NO_FAULTS: Faults = {
  loss: 0,
  duplication: 0,
  corruption: 0,
  lateness: 0,
  lateMs: 0,
  delayMs: 0,
  pathMtu: 0,
};

const IP = 0x0800;
const ETHERNET_BYTES = 14;

export class FaultyNetwork implements Network {
  readonly carriesOffloads: boolean;
  faults: Faults = NO_FAULTS;
  readonly counts = { lost: 0, duplicated: 0, damaged: 0, late: 0, tooLong: 0, frames: 0 };
  readonly #inner: Network;
  readonly #random: Random;
  readonly #cards: Card[] = [];
  #hasLink = true;

  constructor(inner: Network, random: Random) {
    this.#inner = inner;
    this.#random = random;
    this.carriesOffloads = inner.carriesOffloads === true;
  }

  /** The cable of all cards. */
  set hasLink(value: boolean) {
    this.#hasLink = value;
    for (const card of this.#cards) card.linkChanged();
  }

  join(card: Card): Port {
    this.#cards.push(card);
    const port = this.#inner.join({
      mac: card.mac,
      mtu: card.mtu,
      takes: card.takes,
      get isFull() {
        return card.isFull;
      },
      lend: (envelope, borrower) => card.lend(envelope, borrower),
      offer: (frame) => card.offer(frame),
      settle: () => card.settle(),
      linkChanged: () => card.linkChanged(),
      now: () => card.now(),
      after: (ms, callback) => card.after(ms, callback),
      deliver: (frame) => this.#carry(card, frame),
    });
    const isUp = () => this.#hasLink && port.hasLink;
    return {
      get hasLink() {
        return isUp();
      },
      send: (frame) => this.#send(card, port, frame),
      flush: () => port.flush(),
      forget: () => port.forget(),
      leave: () => port.leave(),
    };
  }

  #send(card: Card, port: Port, frame: Frame): void {
    if (!this.#hasLink) return;
    const { pathMtu } = this.faults;
    if (pathMtu === 0 || wireBytesOf(frame) <= pathMtu + ETHERNET_BYTES) {
      port.send(frame);
      return;
    }
    this.counts.tooLong++;
    const answer = fragmentationNeeded(joinBytes(frame.parts), pathMtu);
    this.#deliverLater(card, new WholeFrame(answer), 1);
  }

  #carry(card: Card, frame: Frame): void {
    const { loss, duplication, corruption, lateness, lateMs, delayMs } = this.faults;
    this.counts.frames++;
    if (!this.#hasLink || this.#random.chance(loss)) {
      this.counts.lost++;
      return;
    }
    const isTwice = this.#random.chance(duplication);
    if (isTwice) this.counts.duplicated++;
    for (let i = 0; i < (isTwice ? 2 : 1); i++) {
      const isLate = this.#random.chance(lateness);
      if (isLate) this.counts.late++;
      const ms = delayMs + (isLate ? this.#random.next() * lateMs : 0);
      const bytes = joinBytes(frame.parts).slice();
      // A frame whose sum the receiver will not check never left the host, so nothing damages it.
      if (!frame.offload && this.#random.chance(corruption)) this.#damage(bytes);
      const copy = new WholeFrame(bytes, null, frame.offload ?? null);
      if (ms === 0) card.deliver(copy);
      else this.#deliverLater(card, copy, ms);
    }
  }

  #deliverLater(card: Card, frame: Frame, ms: number): void {
    card.after(ms, () => {
      card.deliver(frame);
      card.settle();
    });
  }

  /** One octet of an IP packet: its checksums show every such damage. ARP has none. */
  #damage(bytes: Uint8Array): void {
    if (bytes[12] !== IP >> 8 || bytes[13] !== 0) return;
    const end = ETHERNET_BYTES + (bytes[16] as number) * 256 + (bytes[17] as number);
    const at = this.#random.between(ETHERNET_BYTES, Math.min(end, bytes.length) - 1);
    bytes[at] = (bytes[at] as number) ^ this.#random.between(1, 255);
    this.counts.damaged++;
  }
}

/** ICMP: a router on the way has no room for a packet (RFC 1191). */
function fragmentationNeeded(frame: Uint8Array, mtu: number): Buffer {
  const b = Buffer.from(frame);
  const message = Buffer.concat([
    Buffer.from([3, 4, 0, 0, 0, 0, mtu >> 8, mtu & 255]),
    b.subarray(ETHERNET_BYTES, ETHERNET_BYTES + 28),
  ]);
  message.writeUInt16BE(internetChecksum(message), 2);
  const dotted = (at: number) => [...b.subarray(at, at + 4)].join(".");
  return ipFrame({
    to: macOf(b.subarray(6, 12)),
    from: macOf(b.subarray(0, 6)),
    source: dotted(30),
    destination: dotted(26),
    protocol: 1,
    payload: message,
  });
}
