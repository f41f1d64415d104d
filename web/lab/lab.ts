// The Lab: boots torito in a Worker of the reader's own browser, shows the site that it serves, and
// beside it the machine.

import { WorkerMachine } from "../../host/browser/worker-machine.ts";
import { endText } from "../../host/browser/worker-protocol.ts";
import type { Asked } from "../../tools/tour.mjs";
import { type ShownInspector, showInspector } from "../inspector/inspector.ts";
import { Console } from "./console.ts";
import { labOrigin } from "./messages.ts";
import { sendRequests } from "./requests.ts";
import { SiteFrame } from "./site-frame.ts";
import { Tour } from "./tour.ts";

/** Of this visit: each tab has its own machine. */
const NAME = crypto.randomUUID === undefined ? `m${Date.now()}` : crypto.randomUUID();

/** The other name answers within this time, or there is none. */
const MOVE_MS = 2000;

const find = <Kind extends HTMLElement>(id: string) => document.getElementById(id) as Kind;
const [state, trouble] = [find("state"), find("trouble")];
const console = new Console(find("console"));
const frame = new SiteFrame(find<HTMLIFrameElement>("site"), () => machine);
let machine: WorkerMachine | null = null;
let inspector: ShownInspector | null = null;
let tourStop: number | null = null;

async function load(name: string): Promise<Response> {
  const response = await fetch(new URL(`machine/${name}`, document.baseURI));
  if (!response.ok) throw new Error(`${name}: the server answers ${response.status}`);
  return response;
}

/** `parameters`: further ones of the kernel. */
async function boot(parameters = ""): Promise<void> {
  inspector?.end();
  machine?.terminate();
  machine = null;
  trouble.hidden = true;
  state.textContent = "Loading the image and the site …";
  const [image, files, sourceMap] = await Promise.all([
    load("web-server.wasm").then((one) => one.arrayBuffer()),
    load("site.tar").then((one) => one.arrayBuffer()),
    load("web-server.wasm.map").then((one) => one.text()),
  ]);
  const started = performance.now();
  const worker = new Worker(new URL("machine/worker.js", document.baseURI), { type: "module" });
  const booted = await WorkerMachine.boot(
    worker,
    { image, files, sourceMap, parameters: `root=site ${parameters}` },
    { console: (text) => console.add(text) },
  );
  machine = booted;
  booted.exited.then((ended) => {
    if (machine === booted) showTrouble(endText(ended));
  });
  inspector = showInspector(find("inspector"), booted);
  inspector.showStop(tourStop);
  if (!(await booted.listening())) return;
  const ms = Math.round(performance.now() - started);
  state.textContent = `The machine runs in this tab. It booted in ${ms} ms.`;
}

function showTrouble(text: string): void {
  state.textContent = "The machine has ended.";
  find("reason").textContent = text;
  trouble.hidden = false;
}

async function showSite(): Promise<void> {
  const place = find("site-note");
  try {
    await frame.show(NAME);
    place.textContent = frame.isApart
      ? "The site has an origin of its own: it cannot reach into this page."
      : "The site has the origin of this page, since there is no other here: it could reach into " +
        "this page, as any page of this host can.";
  } catch (error) {
    const { message } = error as Error;
    place.textContent = `The site cannot be shown: ${message}. Requests below work.`;
  }
}

/** Says what a page without isolation lacks. */
function showIsolation(): void {
  find("isolation").textContent = crossOriginIsolated
    ? "This page is cross-origin isolated: its clock steps by 5 µs, and the machine stops inside " +
      "a kick where you want it to."
    : "This page is not cross-origin isolated, for its host sends no COOP and COEP headers: its " +
      "clock steps by 100 µs, so that short runs of threads look as if they took no time, and the " +
      "machine stops between turns, not inside a kick. " +
      "Everything else works.";
}

async function send(requests: readonly Asked[]): Promise<string> {
  return machine === null ? "there is no machine" : sendRequests(machine, requests);
}

async function sendPath(count: number): Promise<void> {
  const place = find("answer");
  const path = find<HTMLInputElement>("path").value;
  place.textContent = "…";
  const one: Asked = { path, method: "GET", headers: {} };
  place.textContent = await send(Array.from({ length: count }, () => one));
}

const tour = new Tour(find("tour-stop"), {
  stops: async () => (await load("tour.json")).json(),
  send,
  async boot(parameters) {
    await boot(parameters);
    frame.reload();
  },
  showStop(stop) {
    tourStop = stop;
    inspector?.showStop(stop);
  },
  showPanel: (title) => inspector?.showPanel(title) === true,
});

async function start(): Promise<void> {
  try {
    await boot();
  } catch (error) {
    showTrouble((error as Error).message);
  }
}

find("boot").addEventListener("click", () => void start().then(() => frame.reload()));
find("tour-begin").addEventListener("click", () => void tour.begin());
find("reload").addEventListener("click", () => frame.reload());
find("send-many").addEventListener("click", () => void sendPath(16));
find<HTMLFormElement>("requests").addEventListener("submit", (event) => {
  event.preventDefault();
  void sendPath(1);
});
/**
 * From an address of loopback the Lab moves to a name of it, so that the site can have an origin
 * of its own; not where the browser does not know the name. False: it stays.
 */
async function moves(): Promise<boolean> {
  const origin = labOrigin(new URL(location.href));
  if (origin === null) return false;
  const there = `${origin}${location.pathname}${location.search}${location.hash}`;
  try {
    await fetch(there, { mode: "no-cors", signal: AbortSignal.timeout(MOVE_MS) });
  } catch {
    return false;
  }
  location.replace(there);
  return true;
}

if (!(await moves())) {
  showIsolation();
  await start();
  await showSite();
  await tour.resume();
}
