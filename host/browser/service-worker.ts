// The Service Worker of machines' sites: torito/browser/service-worker, one classic script. A
// request for SCOPE/NAME/PATH goes to the machine of that name.
import { browserClock } from "./clock.ts";
import { Gateway } from "./gateway.ts";
import type { MachineOffer, MachineWanted } from "./offer.ts";

interface Extendable {
  waitUntil(until: Promise<unknown>): void;
}

interface FetchEvent extends Extendable {
  readonly request: Request;
  respondWith(response: Promise<Response>): void;
}

interface Client {
  postMessage(message: MachineWanted): void;
}

/** As much of ServiceWorkerGlobalScope as is used. */
interface Scope {
  readonly registration: { readonly scope: string };
  readonly clients: {
    claim(): Promise<void>;
    matchAll(options: object): Promise<readonly Client[]>;
  };
  skipWaiting(): Promise<void>;
  addEventListener(type: "install" | "activate", listener: (event: Extendable) => void): void;
  addEventListener(type: "message", listener: (event: MessageEvent) => void): void;
  addEventListener(type: "fetch", listener: (event: FetchEvent) => void): void;
}

const scope = globalThis as unknown as Scope;

async function askPages(machine: string): Promise<void> {
  const pages = await scope.clients.matchAll({ type: "window", includeUncontrolled: true });
  for (const page of pages) page.postMessage({ torito: "wanted", machine });
}

const gateway = new Gateway(browserClock, (machine) => void askPages(machine));

scope.addEventListener("install", (event) => event.waitUntil(scope.skipWaiting()));
scope.addEventListener("activate", (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener("message", ({ data, ports: [board] }) => {
  const offer = data as MachineOffer | null;
  if (offer?.torito === "offer" && board !== undefined) gateway.offered(offer, board);
});

scope.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  const { pathname } = new URL(scope.registration.scope);
  if (url.origin !== new URL(scope.registration.scope).origin) return;
  if (!url.pathname.startsWith(pathname)) return;
  const [, machine, path] = /^([\w-]{1,64})(\/.*)$/.exec(url.pathname.slice(pathname.length)) ?? [];
  if (machine === undefined || path === undefined) return;
  const root = `${pathname}${machine}/`;
  event.respondWith(gateway.fetch(machine, root, `${path}${url.search}`, request));
});
