// Requests, as they flow through a machine. On the wire a connection carries bytes, so a request is
// taken to be an exchange: payload to the guest and what comes back, up to the next payload to the
// guest. With pipelining several requests share one.

/** Connections that are followed at once: the oldest are forgotten. */
const CONNECTIONS_MAX = 4096;
/** Of the first bytes of an exchange, looked at for its name. */
const TITLE_CHARACTERS_MAX = 200;

/** One of many things that happen to an exchange. */
export interface FlowStep {
  /** Hexadecimal digits: the connection's serial number, and the exchange's in it. */
  readonly id: string;
  /** Is it the first? */
  readonly begins: boolean;
}

/** An exchange that has ended. */
export interface Exchange {
  readonly id: string;
  /** As in "GET 200" or, with paths, "GET /index.html 200"; otherwise how many bytes went. */
  readonly title: string;
  readonly sinceNs: number;
  readonly untilNs: number;
}

interface Connection {
  readonly serial: number;
  exchange: number; // 0: none yet
  isAnswered: boolean; // payload has come back
  question: string;
  answer: string;
  bytes: number; // both ways
  sinceNs: number;
  untilNs: number;
}

/** By `key`, which names both ends of a connection. */
export class Flows {
  readonly #connections = new Map<string, Connection>();
  readonly #ended: (exchange: Exchange) => void;
  #serial = 0;
  /** Are paths of requests to be shown? They are the users'. */
  withPaths = false;

  constructor(ended: (exchange: Exchange) => void) {
    this.#ended = ended;
  }

  /** Payload to the guest, of which these are the first bytes. */
  toGuest(key: string, first: string, bytes: number, nowNs: number): FlowStep {
    const one = this.#connection(key, nowNs);
    const begins = one.exchange === 0 || one.isAnswered;
    if (begins) {
      this.#end(one);
      one.exchange++;
      one.isAnswered = false;
      one.question = first;
      one.answer = "";
      one.bytes = 0;
      one.sinceNs = nowNs;
    }
    one.bytes += bytes;
    one.untilNs = nowNs;
    return { id: idOf(one), begins };
  }

  /** Payload from the guest. undefined: it answers nothing that was seen. */
  fromGuest(key: string, first: string, bytes: number, nowNs: number): FlowStep | undefined {
    const one = this.#connections.get(key);
    if (one === undefined || one.exchange === 0) return undefined;
    if (!one.isAnswered) one.answer = first;
    one.isAnswered = true;
    one.bytes += bytes;
    one.untilNs = nowNs;
    return { id: idOf(one), begins: false };
  }

  /** The exchange that goes on. undefined: none, or it is not known. */
  present(key: string): FlowStep | undefined {
    const one = this.#connections.get(key);
    return one === undefined || one.exchange === 0 ? undefined : { id: idOf(one), begins: false };
  }

  /** The connection is over. */
  closed(key: string): void {
    const one = this.#connections.get(key);
    if (one === undefined) return;
    this.#end(one);
    this.#connections.delete(key);
  }

  clear(): void {
    this.#connections.clear();
  }

  #connection(key: string, nowNs: number): Connection {
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    if (this.#connections.size >= CONNECTIONS_MAX) {
      for (const oldest of this.#connections.keys()) {
        this.closed(oldest);
        break;
      }
    }
    const one: Connection = {
      ...{ serial: ++this.#serial, exchange: 0, isAnswered: false, question: "", answer: "" },
      ...{ bytes: 0, sinceNs: nowNs, untilNs: nowNs },
    };
    this.#connections.set(key, one);
    return one;
  }

  #end(one: Connection): void {
    if (one.exchange === 0) return;
    const title = this.#title(one);
    this.#ended({ id: idOf(one), title, sinceNs: one.sinceNs, untilNs: one.untilNs });
  }

  #title({ question, answer, bytes }: Connection): string {
    const [, method, path] = /^([A-Z]{1,20}) (\S{1,200}) HTTP\/1\.[01]/.exec(question) ?? [];
    const [, status = ""] = /^HTTP\/1\.[01] (\d{3})/.exec(answer) ?? [];
    if (method === undefined) return `${bytes} bytes`;
    return [method, this.withPaths ? path : "", status].filter((word) => word !== "").join(" ");
  }
}

const idOf = ({ serial, exchange }: Connection) => (serial * 0x10000 + exchange).toString(16);

/** The first characters of payload, for the methods above. */
export function textOf(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.subarray(0, TITLE_CHARACTERS_MAX));
}

/** Names a connection between a port of the guest and one of another side. */
export const connectionKey = (cid: number, remotePort: number, localPort: number): string =>
  `${cid}:${remotePort}>${localPort}`;
