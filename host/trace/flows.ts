// Requests, as they flow through a machine. On the wire a connection carries bytes, so a request is
// taken to be an exchange: payload to the guest and what comes back, up to the next payload to the
// guest. With pipelining several requests share one.

import { VMADDR_CID_HOST } from "../../abi/vsock.ts";

const TWO_32 = 4294967296;
/** Connections that are followed at once: the oldest are forgotten. */
const CONNECTIONS_MAX = 4096;
const METHOD_BYTES_MAX = 20;
const PATH_BYTES_MAX = 200;
const SPACE = 0x20;

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
  question: string; // "GET", or "GET /path"; "": it is no HTTP
  answer: string; // "200"
  bytes: number; // both ways
  sinceNs: number;
  untilNs: number;
}

/** Names both ends of a connection, for the time that it lasts. */
export type ConnectionKey = number | string;

export class Flows {
  readonly #connections = new Map<ConnectionKey, Connection>();
  readonly #ended: (exchange: Exchange) => void;
  #serial = 0;
  /** Are paths of requests to be shown? They are the users'. */
  withPaths = false;

  constructor(ended: (exchange: Exchange) => void) {
    this.#ended = ended;
  }

  /** Payload to the guest, of which these are the first bytes. */
  toGuest(key: ConnectionKey, first: Uint8Array, bytes: number, nowNs: number): FlowStep {
    const one = this.#connection(key, nowNs);
    const begins = one.exchange === 0 || one.isAnswered;
    if (begins) {
      this.#end(one);
      one.exchange++;
      one.isAnswered = false;
      one.question = questionOf(first, this.withPaths);
      one.answer = "";
      one.bytes = 0;
      one.sinceNs = nowNs;
    }
    one.bytes += bytes;
    one.untilNs = nowNs;
    return { id: idOf(one), begins };
  }

  /** Payload from the guest. undefined: it answers nothing that was seen. */
  fromGuest(
    key: ConnectionKey,
    first: Uint8Array,
    bytes: number,
    nowNs: number,
  ): FlowStep | undefined {
    const one = this.#connections.get(key);
    if (one === undefined || one.exchange === 0) return undefined;
    if (!one.isAnswered) one.answer = answerOf(first);
    one.isAnswered = true;
    one.bytes += bytes;
    one.untilNs = nowNs;
    return { id: idOf(one), begins: false };
  }

  /** The exchange that goes on. undefined: none, or it is not known. */
  present(key: ConnectionKey): FlowStep | undefined {
    const one = this.#connections.get(key);
    return one === undefined || one.exchange === 0 ? undefined : { id: idOf(one), begins: false };
  }

  /** The connection is over. */
  closed(key: ConnectionKey): void {
    const one = this.#connections.get(key);
    if (one === undefined) return;
    this.#end(one);
    this.#connections.delete(key);
  }

  clear(): void {
    this.#connections.clear();
  }

  #connection(key: ConnectionKey, nowNs: number): Connection {
    const known = this.#connections.get(key);
    if (known !== undefined) return known;
    if (this.#connections.size >= CONNECTIONS_MAX) {
      for (const oldest of this.#connections.keys()) {
        this.closed(oldest);
        break;
      }
    }
    const one: Connection = {
      serial: ++this.#serial,
      exchange: 0,
      isAnswered: false,
      question: "",
      answer: "",
      bytes: 0,
      sinceNs: nowNs,
      untilNs: nowNs,
    };
    this.#connections.set(key, one);
    return one;
  }

  #end(one: Connection): void {
    if (one.exchange === 0) return;
    const { question, answer, bytes, sinceNs, untilNs } = one;
    const isHttp = question !== "";
    const title = isHttp ? (answer === "" ? question : `${question} ${answer}`) : `${bytes} bytes`;
    this.#ended({ id: idOf(one), title, sinceNs, untilNs });
  }
}

const idOf = ({ serial, exchange }: Connection) => (serial * 0x10000 + exchange).toString(16);

/** The method of a request, and its path if it is wanted. "": it is none of HTTP/1.1. */
function questionOf(first: Uint8Array, withPath: boolean): string {
  const method = first.indexOf(SPACE);
  if (method < 1 || method > METHOD_BYTES_MAX || !isUpperCase(first, method)) return "";
  const end = withPath ? first.indexOf(SPACE, method + 1) : method;
  const bytes = first.subarray(0, end < 0 ? PATH_BYTES_MAX : Math.min(end, PATH_BYTES_MAX));
  return String.fromCharCode.apply(null, bytes as unknown as number[]);
}

function isUpperCase(bytes: Uint8Array, count: number): boolean {
  for (let i = 0; i < count; i++) {
    const byte = bytes[i] as number;
    if (byte < 0x41 || byte > 0x5a) return false;
  }
  return true;
}

/** The status of a response, after `HTTP/1.1 `. "": it is none. */
function answerOf(first: Uint8Array): string {
  const digits = first.subarray(9, 12);
  if (first[0] !== 0x48 || first[8] !== SPACE || digits.length < 3) return "";
  const [a = 0, b = 0, c = 0] = digits;
  const status = (a - 0x30) * 100 + (b - 0x30) * 10 + (c - 0x30);
  return status >= 100 && status <= 999 ? `${status}` : "";
}

/**
 * The key of a connection between a port of the guest and one of another side. A number where it
 * can be, as most are: those are faster to look up.
 */
export function connectionKey(cid: number, remotePort: number, localPort: number): ConnectionKey {
  if (cid === VMADDR_CID_HOST && localPort < 0x10_0000) return localPort * TWO_32 + remotePort;
  return `${cid}:${remotePort}>${localPort}`;
}
