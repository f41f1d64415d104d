// Messages between a page and the Service Worker that serves its machine's site.

/** From the Service Worker to all pages: who has the machine of that name? */
export interface MachineWanted {
  readonly torito: "wanted";
  readonly machine: string;
}

/** From the page that has it, with a switchboard as the message's port. */
export interface MachineOffer {
  readonly torito: "offer";
  readonly machine: string;
  /** The page is cross-origin isolated, so that a frame in it has to say that it agrees. */
  readonly isIsolated: boolean;
}

/** Names of machines: one segment of a path. */
export const MACHINE_NAME = /^[\w-]{1,64}$/;

export interface Offered {
  readonly container: ServiceWorkerContainer;
  /** Of torito/browser/service-worker; its scope is the site's. */
  readonly registration: ServiceWorkerRegistration;
  /** One machine has one name, and tabs of one origin have different ones. */
  readonly machine: string;
  readonly isIsolated: boolean;
  /** Asked for each time that the Service Worker begins anew; null: there is none any more. */
  readonly switchboard: () => Promise<MessagePort | null>;
}

/**
 * Offers a machine to a Service Worker, now and whenever it asks. Resolves with the URL of the
 * machine's site once it is served. Throws an Error if the name is none.
 */
export async function offerMachine(offered: Offered): Promise<URL> {
  const { container, registration, machine, isIsolated } = offered;
  if (!MACHINE_NAME.test(machine)) throw new Error(`"${machine}" is no name of a machine`);
  const give = async (worker: ServiceWorker | null) => {
    const port = await offered.switchboard();
    const offer: MachineOffer = { torito: "offer", machine, isIsolated };
    if (port !== null) worker?.postMessage(offer, [port]);
  };
  container.addEventListener("message", ({ data, source }) => {
    const wanted = data as MachineWanted | null;
    if (wanted?.torito !== "wanted" || wanted.machine !== machine) return;
    void give(source as ServiceWorker | null);
  });
  container.startMessages();
  await give(await activeWorker(registration));
  return new URL(`${machine}/`, registration.scope);
}

/** Resolves when the Service Worker can serve. */
function activeWorker(registration: ServiceWorkerRegistration): Promise<ServiceWorker> {
  const { installing, waiting, active } = registration;
  const worker = active ?? waiting ?? installing;
  return new Promise((resolve, reject) => {
    if (worker === null) throw new Error("the Service Worker is gone");
    const look = () => {
      if (worker.state === "activated") resolve(worker);
      else if (worker.state === "redundant") reject(new Error("the Service Worker was replaced"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}
