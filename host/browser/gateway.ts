// Answers requests for the sites of machines, each by HTTP/1.1 to its guest. It finds a machine by
// asking the pages, for it may have been stopped and started again since the last request.
import { FetchError } from "../http/fetch-error.ts";
import type { Clock } from "../ports/clock.ts";
import { Dialler } from "./dialler.ts";
import { errorPage, type Trouble } from "./error-pages.ts";
import type { MachineOffer } from "./offer.ts";

/** A page that has the machine answers within this time, or none has it. */
const WANTED_MS = 2000;
/** The pages are asked again, for one may be loading. */
const AGAIN_MS = 250;
/** Machines that are known; one more takes the place of the oldest. */
const MACHINES_MAX = 32;
/** Names of machines that requests wait for; a request for one more gets 503 at once. */
const WANTED_MAX = 64;
/** Methods that may be sent to another machine, which has taken the place of the first. */
const SAFE = /^(GET|HEAD|OPTIONS)$/;

interface Site {
  readonly dialler: Dialler;
  readonly isIsolated: boolean;
}

export class Gateway {
  readonly #clock: Clock;
  readonly #askPages: (machine: string) => void;
  readonly #sites = new Map<string, Site>();
  readonly #waiting = new Map<string, Set<() => void>>();

  /** `askPages`: whoever has the machine is to call offered(). */
  constructor(clock: Clock, askPages: (machine: string) => void) {
    this.#clock = clock;
    this.#askPages = askPages;
  }

  /** A page has that machine, and gives its switchboard. */
  offered({ machine, isIsolated }: MachineOffer, board: MessagePort): void {
    this.#forget(machine);
    for (const oldest of this.#sites.keys()) {
      if (this.#sites.size >= MACHINES_MAX) this.#forget(oldest);
    }
    this.#sites.set(machine, { dialler: new Dialler(board, this.#clock), isIsolated });
    const waiting = this.#waiting.get(machine);
    this.#waiting.delete(machine);
    for (const found of waiting ?? []) found();
  }

  /**
   * The machine's response to a request for `path`, which begins with a slash; `root` is the path
   * of its site. Resolves with a page that says what is wrong: 503 if there is no such machine
   * within two seconds, 502 if it has ended or breaks off. Rejects only when the request is
   * aborted.
   */
  async fetch(machine: string, root: string, path: string, request: Request): Promise<Response> {
    const startedNs = this.#clock.now();
    for (;;) {
      const passedMs = (this.#clock.now() - startedNs) / 1e6;
      const found = await this.#find(machine, WANTED_MS - passedMs);
      if (!("dialler" in found)) return errorPage(found, request);
      const { dialler, isIsolated } = found;
      try {
        const asked = await guestRequest(request, path);
        const answer = await dialler.http.fetch(asked);
        return siteResponse(answer, root, asked.url, isIsolated);
      } catch (error) {
        if (request.signal.aborted) throw error;
        const presence = await dialler.ask();
        if (presence.kind === "gone" && SAFE.test(request.method)) continue;
        const reason = presence.kind === "ended" ? presence.reason : (error as Error).message;
        const isFull = error instanceof FetchError && error.code === "EAGAIN";
        return errorPage({ status: isFull ? 503 : 502, reason }, request);
      }
    }
  }

  async #find(machine: string, waitMs: number): Promise<Site | Trouble> {
    const known = this.#sites.get(machine);
    const askedNs = this.#clock.now();
    const presence = await known?.dialler.presence();
    if (presence?.kind === "ended") return { status: 502, reason: presence.reason };
    if (known !== undefined && presence?.kind === "there") return known;
    if (known !== undefined && this.#sites.get(machine) === known) this.#forget(machine);
    await this.#wait(machine, waitMs - (this.#clock.now() - askedNs) / 1e6);
    const found = this.#sites.get(machine);
    return found ?? { status: 503, reason: "No tab of this browser has the machine." };
  }

  #forget(machine: string): void {
    this.#sites.get(machine)?.dialler.close();
    this.#sites.delete(machine);
  }

  /** Asks for the machine until it is known, or the time has passed. */
  #wait(machine: string, waitMs: number): Promise<void> {
    const isFull = this.#waiting.size >= WANTED_MAX && !this.#waiting.has(machine);
    if (this.#sites.has(machine) || isFull) return Promise.resolve();
    return new Promise((resolve) => {
      let leftMs = waitMs;
      let cancel = () => {};
      const waiting = this.#waiting.get(machine) ?? new Set();
      const found = () => {
        cancel();
        resolve();
      };
      const ask = () => {
        if (leftMs <= 0) {
          waiting.delete(found);
          if (waiting.size === 0) this.#waiting.delete(machine);
          resolve();
          return;
        }
        const periodMs = Math.min(AGAIN_MS, leftMs);
        leftMs -= periodMs;
        cancel = this.#clock.after(periodMs, ask);
        this.#askPages(machine); // the answer may come at once
      };
      waiting.add(found);
      this.#waiting.set(machine, waiting);
      ask();
    });
  }
}

/** The same request, to the guest: only what a guest may know of it. */
async function guestRequest(request: Request, path: string): Promise<Request> {
  const { method, headers, signal } = request;
  const url = new URL(path, new URL(request.url).origin);
  const init: RequestInit & { duplex?: "half" } = { method, headers, signal };
  if (!SAFE.test(method)) {
    // Not every browser streams the body of a request: there it is read as a whole.
    const streamed = request.body as ReadableStream | null | undefined;
    const body = streamed === undefined ? await request.arrayBuffer() : streamed;
    Object.assign(init, { body, duplex: "half" });
  }
  return new Request(url, init);
}

/** The guest's response, as the site's: redirects within the machine stay within its site. */
function siteResponse(
  answer: Response,
  root: string,
  asked: string,
  isIsolated: boolean,
): Response {
  const headers = new Headers(answer.headers);
  const location = headers.get("location");
  if (location !== null) {
    const url = URL.canParse(location, asked) ? new URL(location, asked) : null;
    if (url !== null && url.origin === new URL(asked).origin) {
      headers.set("location", `${root}${url.pathname.slice(1)}${url.search}${url.hash}`);
    }
  }
  if (isIsolated) headers.set("cross-origin-embedder-policy", "require-corp");
  const { status, statusText, body } = answer;
  return new Response(body, { status, statusText, headers });
}
