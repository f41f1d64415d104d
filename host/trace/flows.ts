// Requests, as they flow through a machine. On the wire a connection carries bytes, so a request is
// taken to be an exchange: payload to the guest and what comes back, up to the next payload to the
// guest. With pipelining several requests share one.
import type { ConnectionKey } from "./connection-key.ts";
import type { FlowStep } from "./event.ts";

/** Exchanges of one connection that have ids of its own; then it is numbered anew. */
const EXCHANGES_MAX = 0xffff;
/** Connections that are followed at once: the oldest are forgotten. */
const CONNECTIONS_MAX = 4096;
const METHOD_BYTES_MAX = 20;
const PATH_BYTES_MAX = 200;
const SPACE = 0x20;
/** Hexadecimal digits of each byte. Numbers take engines some time to print in another base. */
const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** An exchange that has ended. */
export interface Exchange {
  readonly step: FlowStep;
  /** As in "GET 200"; of what is no HTTP how many bytes went. */
  readonly title: string;
  /** As in "GET /index.html 200"; undefined: it is not known. */
  readonly named: string | undefined;
  readonly sinceNs: number;
  readonly untilNs: number;
}

interface Connection {
  digits: string; // of its serial number
  exchange: number; // 0: none yet
  step: FlowStep | undefined; // of the exchange, but the first; undefined: none yet
  isAnswered: boolean; // payload has come back
  method: string; // "": it is no HTTP
  path: string; // "": nobody asked for it
  status: number; // 0: none
  bytes: number; // both ways
  sinceNs: number;
  untilNs: number;
}

/** The first bytes of a packet's payload: [at, end) of `source`. */
export interface FirstBytes {
  readonly source: Uint8Array;
  readonly at: number;
  readonly end: number;
}

export class Flows {
  readonly #connections = new Map<ConnectionKey, Connection>();
  readonly #ended: (exchange: Exchange) => void;
  #serial = 0;
  /** Are paths of requests wanted? They are the users'. */
  withPaths = false;

  constructor(ended: (exchange: Exchange) => void) {
    this.#ended = ended;
  }

  /** Payload of `bytes` to the guest. */
  toGuest(key: ConnectionKey, first: FirstBytes, bytes: number, nowNs: number): FlowStep {
    const one = this.#connections.get(key) ?? this.#add(key, nowNs);
    one.untilNs = nowNs;
    if (one.step !== undefined && !one.isAnswered) {
      one.bytes += bytes;
      return one.step;
    }
    this.#end(one);
    if (one.exchange === EXCHANGES_MAX) {
      one.digits = (++this.#serial).toString(16);
      one.exchange = 0;
    }
    one.exchange++;
    one.isAnswered = false;
    one.method = methodOf(first);
    one.path = this.withPaths && one.method !== "" ? pathOf(first, one.method.length + 1) : "";
    one.status = 0;
    one.bytes = bytes;
    one.sinceNs = nowNs;
    const id = one.digits + BYTES[one.exchange >> 8] + BYTES[one.exchange & 255];
    one.step = { id, begins: false };
    return { id, begins: true };
  }

  /** Payload from the guest. undefined: it answers nothing that was seen. */
  fromGuest(
    key: ConnectionKey,
    first: FirstBytes,
    bytes: number,
    nowNs: number,
  ): FlowStep | undefined {
    const one = this.#connections.get(key);
    if (one?.step === undefined) return undefined;
    if (!one.isAnswered) one.status = statusOf(first);
    one.isAnswered = true;
    one.bytes += bytes;
    one.untilNs = nowNs;
    return one.step;
  }

  /** The exchange that goes on. undefined: none, or it is not known. */
  present(key: ConnectionKey): FlowStep | undefined {
    return this.#connections.get(key)?.step;
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

  #add(key: ConnectionKey, nowNs: number): Connection {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      for (const oldest of this.#connections.keys()) {
        this.closed(oldest);
        break;
      }
    }
    const one: Connection = {
      digits: (++this.#serial).toString(16),
      exchange: 0,
      step: undefined,
      isAnswered: false,
      method: "",
      path: "",
      status: 0,
      bytes: 0,
      sinceNs: nowNs,
      untilNs: nowNs,
    };
    this.#connections.set(key, one);
    return one;
  }

  #end({ step, method, path, status, bytes, sinceNs, untilNs }: Connection): void {
    if (step === undefined) return;
    const title = method === "" ? `${bytes} bytes` : titleOf(method, status);
    const named = path === "" ? undefined : `${method} ${path}${status === 0 ? "" : ` ${status}`}`;
    this.#ended({ step, title, named, sinceNs, untilNs });
  }
}

/** By status; made once. Other methods are rare. */
const TITLES = new Map<string, string[]>(
  ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"].map((method) => [method, []]),
);

/** As in "GET 200"; without a status "GET". */
function titleOf(method: string, status: number): string {
  const titles = TITLES.get(method) ?? [];
  titles[status] ??= status === 0 ? method : `${method} ${status}`;
  return titles[status];
}

/** The method of a request. "": it is none of HTTP/1.1. */
function methodOf({ source, at, end }: FirstBytes): string {
  const isGet = source[at] === 0x47 && source[at + 1] === 0x45 && source[at + 2] === 0x54;
  if (isGet && end > at + 3 && source[at + 3] === SPACE) return "GET"; // most are
  const last = Math.min(end, at + METHOD_BYTES_MAX + 1);
  for (let i = at; i < last; i++) {
    const byte = source[i] as number;
    if (byte === SPACE) return text(source, at, i);
    if (byte < 0x41 || byte > 0x5a) return "";
  }
  return "";
}

/** The request's target after its method, of which it is the beginning if it is long. */
function pathOf({ source, at, end }: FirstBytes, skipped: number): string {
  const last = Math.min(end, at + PATH_BYTES_MAX);
  let until = at + skipped;
  while (until < last && source[until] !== SPACE) until++;
  return text(source, at + skipped, until);
}

/** Each byte as the character of that number. */
function text(source: Uint8Array, at: number, end: number): string {
  return String.fromCharCode(...source.subarray(at, end));
}

/** The status of a response, after `HTTP/1.1 `. 0: it is none. */
function statusOf({ source, at, end }: FirstBytes): number {
  if (end < at + 12 || source[at] !== 0x48 || source[at + 8] !== SPACE) return 0;
  const digit = (i: number) => (source[at + 9 + i] as number) - 0x30;
  const status = digit(0) * 100 + digit(1) * 10 + digit(2);
  return status >= 100 && status <= 999 ? status : 0;
}
