// Requests, as they flow through a machine. On the wire a connection carries bytes, so a request is
// taken to be an exchange: payload to the guest and what comes back, up to the next payload to the
// guest. With pipelining several requests share one.
import { type ConnectionKey, portOf } from "./connection-key.ts";
import { FLOW_EXCHANGES, type Flow } from "./event.ts";

/** Connections that are followed at once: the oldest are forgotten. */
const CONNECTIONS_MAX = 4096;
const METHOD_BYTES_MAX = 20;
const PATH_BYTES_MAX = 200;
const SPACE = 0x20;

/** An exchange that has ended. */
export interface Exchange {
  readonly flow: Flow;
  /** As in "GET 200"; of what is no HTTP how many bytes went. */
  readonly title: string;
  /** As in "GET /index.html 200"; undefined: it is not known. */
  readonly named: string | undefined;
  readonly sinceNs: number;
  readonly untilNs: number;
}

interface Connection {
  readonly key: ConnectionKey;
  next: Connection | undefined; // with the same port on the other side
  flow: Flow; // of the last exchange; a connection that uses up its ids gets a new number
  hasExchange: boolean;
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
  readonly #connections = new Map<ConnectionKey, Connection>(); // the oldest first
  /** The same by the ports of their other sides, as int32: engines find those at once. */
  readonly #byPort = new Map<number, Connection>();
  readonly #ended: (exchange: Exchange) => void;
  #serial = 0;
  /** Are paths of requests wanted? They are the users'. */
  withPaths = false;

  constructor(ended: (exchange: Exchange) => void) {
    this.#ended = ended;
  }

  /** Payload of `bytes` to the guest. */
  toGuest(key: ConnectionKey, first: FirstBytes, bytes: number, nowNs: number): Flow {
    const one = this.#find(key) ?? this.#add(key, nowNs);
    one.untilNs = nowNs;
    if (one.hasExchange && !one.isAnswered) {
      one.bytes += bytes;
      return one.flow;
    }
    this.#end(one);
    one.flow++;
    if (one.flow % FLOW_EXCHANGES === 0) one.flow = this.#noneOfNext() + 1;
    one.hasExchange = true;
    one.isAnswered = false;
    one.method = methodOf(first);
    one.path = this.withPaths && one.method !== "" ? pathOf(first, one.method.length + 1) : "";
    one.status = 0;
    one.bytes = bytes;
    one.sinceNs = nowNs;
    return -one.flow;
  }

  /** Payload from the guest. 0: it answers nothing that was seen. */
  fromGuest(key: ConnectionKey, first: FirstBytes, bytes: number, nowNs: number): Flow {
    const one = this.#find(key);
    if (one === undefined || !one.hasExchange) return 0;
    if (!one.isAnswered) one.status = statusOf(first);
    one.isAnswered = true;
    one.bytes += bytes;
    one.untilNs = nowNs;
    return one.flow;
  }

  /** The exchange that goes on. 0: none, or it is not known. */
  present(key: ConnectionKey): Flow {
    const one = this.#find(key);
    return one?.hasExchange === true ? one.flow : 0;
  }

  /** Of the exchanges that go on. */
  begun(): Set<Flow> {
    const all = [...this.#connections.values()].filter(({ hasExchange }) => hasExchange);
    return new Set(all.map(({ flow }) => flow));
  }

  /** From now on ids are other ones than those of `others` so far. */
  follow(others: Flows | undefined): void {
    if (others !== undefined) this.#serial = Math.max(this.#serial, others.#serial);
  }

  /** The connection is over. */
  closed(key: ConnectionKey): void {
    const one = this.#connections.get(key);
    if (one === undefined) return;
    this.#end(one);
    this.#connections.delete(key);
    this.#forget(one);
  }

  clear(): void {
    this.#connections.clear();
    this.#byPort.clear();
  }

  #find(key: ConnectionKey): Connection | undefined {
    if (typeof key === "string") return this.#connections.get(key);
    let one = this.#byPort.get(portOf(key));
    while (one !== undefined && one.key !== key) one = one.next;
    return one;
  }

  #forget({ key, next }: Connection): void {
    if (typeof key === "string") return;
    const port = portOf(key);
    let before = this.#byPort.get(port);
    if (before?.key !== key) {
      while (before !== undefined && before.next?.key !== key) before = before.next;
      if (before !== undefined) before.next = next;
    } else if (next === undefined) {
      this.#byPort.delete(port);
    } else {
      this.#byPort.set(port, next);
    }
  }

  #add(key: ConnectionKey, nowNs: number): Connection {
    if (this.#connections.size >= CONNECTIONS_MAX) {
      for (const oldest of this.#connections.keys()) {
        this.closed(oldest);
        break;
      }
    }
    const port = typeof key === "string" ? undefined : portOf(key);
    const one: Connection = {
      key,
      next: port === undefined ? undefined : this.#byPort.get(port),
      flow: this.#noneOfNext(),
      hasExchange: false,
      isAnswered: false,
      method: "",
      path: "",
      status: 0,
      bytes: 0,
      sinceNs: nowNs,
      untilNs: nowNs,
    };
    this.#connections.set(key, one);
    if (port !== undefined) this.#byPort.set(port, one);
    return one;
  }

  /** Before the first exchange of the next serial number. */
  #noneOfNext(): Flow {
    return ++this.#serial * FLOW_EXCHANGES;
  }

  #end(one: Connection): void {
    if (!one.hasExchange) return;
    const { flow, method, path, status, bytes, sinceNs, untilNs } = one;
    const title = method === "" ? `${bytes} bytes` : titleOf(method, status);
    const named = path === "" ? undefined : `${method} ${path}${status === 0 ? "" : ` ${status}`}`;
    this.#ended({ flow, title, named, sinceNs, untilNs });
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
