// The frames of a network device, each as an event on its track of the machine's trace. Payload of
// TCP is a step of the request that its connection carries, as packets of vsock are.
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../abi/ip.ts";
import { TH_ACK, TH_FIN, TH_RST, TH_SYN } from "../../../abi/tcp.ts";
import type { DeviceTrace, StepKinds } from "../../device.ts";
import { tcpKey } from "../../trace/connection-key.ts";
import { EventKind, type Flow, MACHINE } from "../../trace/event.ts";
import { FLAGS_MASK, nameOf } from "./describe.ts";
import { copyFront, type Frame } from "./frame.ts";
import { HEADERS_BYTES, Headline } from "./headline.ts";
import type { FrameTap } from "./tap.ts";

/** Of the payload: enough to know a request by. */
const FIRST_BYTES_MAX = 256;
const KEYS = ["srcPort", "dstPort", "bytes"];

/** Kinds of one direction. Those of TCP by its flags, made when they are seen. */
class Kinds {
  readonly way: string;
  readonly udp: StepKinds;
  readonly #tcp: (StepKinds | undefined)[] = [];

  constructor(way: string) {
    this.way = way;
    this.udp = kindsOf(`UDP ${way}`);
  }

  tcp(flags: number, name: () => string): StepKinds {
    let kinds = this.#tcp[flags & FLAGS_MASK];
    if (kinds === undefined) {
      kinds = kindsOf(`${name()} ${this.way}`);
      this.#tcp[flags & FLAGS_MASK] = kinds;
    }
    return kinds;
  }
}

function kindsOf(name: string): StepKinds {
  return {
    instant: new EventKind("i", MACHINE, name, KEYS),
    step: new EventKind("X", MACHINE, name, KEYS),
  };
}

const TO_GUEST = new Kinds("to guest");
const FROM_GUEST = new Kinds("from guest");

export class FrameTrace implements FrameTap {
  readonly #trace: DeviceTrace;
  readonly #next: FrameTap | null;
  readonly #front = new Uint8Array(HEADERS_BYTES + FIRST_BYTES_MAX);
  readonly #headline = new Headline();
  readonly #first = { source: this.#front, at: 0, end: 0 };

  /** Passes everything on to `next`. */
  constructor(trace: DeviceTrace, next: FrameTap | null) {
    this.#trace = trace;
    this.#next = next;
  }

  fromGuest(frame: Frame): void {
    this.#next?.fromGuest(frame);
    if (this.#trace.isOn) this.#tell(frame, FROM_GUEST);
  }

  toGuest(frame: Frame): void {
    this.#next?.toGuest(frame);
    if (this.#trace.isOn) this.#tell(frame, TO_GUEST);
  }

  #tell(frame: Frame, kinds: Kinds): void {
    const { bytes } = frame;
    const front = new DataView(this.#front.buffer, 0, copyFront(frame, this.#front));
    const of = this.#headline;
    of.read(front, bytes);
    const trace = this.#trace;
    const nowNs = trace.now();
    if (!of.hasPorts) {
      trace.instant(`${nameOf(of, front)} ${kinds.way}`, nowNs, { bytes });
    } else if (of.protocol === IPPROTO_UDP) {
      trace.happened(kinds.udp, nowNs, 0, of.sourcePort, of.destPort, bytes);
    } else if (of.protocol === IPPROTO_TCP) {
      const flow = this.#flowOf(kinds === TO_GUEST, front.byteLength, nowNs);
      const kind = kinds.tcp(of.flags, () => nameOf(of, front));
      trace.happened(kind, nowNs, flow, of.sourcePort, of.destPort, bytes);
    }
  }

  /** The request that a segment is a step of. `known` bytes of the frame were copied. */
  #flowOf(isToGuest: boolean, known: number, nowNs: number): Flow {
    const { flows } = this.#trace;
    const { flags, payloadAt, payloadBytes, source, destination, sourcePort, destPort } =
      this.#headline;
    const key = isToGuest
      ? tcpKey(source, sourcePort, destPort)
      : tcpKey(destination, destPort, sourcePort);
    let flow: Flow = 0;
    if (payloadBytes > 0) {
      const first = this.#first;
      first.at = payloadAt;
      first.end = Math.max(payloadAt, Math.min(known, payloadAt + payloadBytes));
      flow = isToGuest
        ? flows.toGuest(key, first, payloadBytes, nowNs)
        : flows.fromGuest(key, first, payloadBytes, nowNs);
    }
    if (isLast(flags, isToGuest)) flows.closed(key);
    return flow;
  }
}

/** No more of the guest's follows, or a connection with the same addresses begins. */
function isLast(flags: number, isToGuest: boolean): boolean {
  if ((flags & TH_RST) !== 0 || (flags & (TH_SYN | TH_ACK)) === TH_SYN) return true;
  return !isToGuest && (flags & TH_FIN) !== 0;
}
