// The frame of the Lab: registers the Service Worker for the machine's site, fetches ports to the
// machine from the Lab, and shows the site in a frame of its own. It stays where it is while the
// reader moves about in the site.
import { offerMachine } from "../../host/browser/offer.ts";
import { type FromBridge, mayServe, type ToBridge } from "./messages.ts";

const frame = document.querySelector("iframe");
let lab = ""; // origin of the Lab, once it has spoken
let waiting: ((port: MessagePort | null) => void)[] = [];

function tell(message: FromBridge): void {
  parent.postMessage(message, lab === "" ? "*" : lab);
}

function askForPort(): Promise<MessagePort | null> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    tell({ torito: "bridge-switchboard" });
  });
}

async function show(machine: string, isIsolated: boolean): Promise<void> {
  const container = navigator.serviceWorker as ServiceWorkerContainer | undefined;
  if (container === undefined) throw new Error("this browser has no Service Workers here");
  const script = new URL("machine/service-worker.js", document.baseURI);
  const scope = new URL("machine/site/", document.baseURI).href;
  const registration = await container.register(script, { scope });
  const site = await offerMachine({
    ...{ container, registration, machine, isIsolated },
    switchboard: askForPort,
  });
  if (frame === null) return;
  frame.addEventListener("load", () => tell({ torito: "bridge-shows" }), { once: true });
  frame.src = site.href;
}

addEventListener("message", ({ data, source, origin, ports }) => {
  if (source !== parent || !mayServe(location.origin, origin)) return;
  const message = data as ToBridge;
  switch (message.torito) {
    case "lab-machine":
      lab = origin;
      show(message.machine, message.isIsolated).catch((error: Error) =>
        tell({ torito: "bridge-failed", reason: error.message }),
      );
      break;
    case "lab-switchboard": {
      const answered = waiting;
      waiting = answered.slice(1);
      answered[0]?.(ports[0] ?? null);
      break;
    }
    case "lab-reload":
      frame?.contentWindow?.location.reload();
  }
});

tell({ torito: "bridge-loaded" });
