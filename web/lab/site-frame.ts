// Shows the site of a machine in a frame, on another origin where there is one.
import type { WorkerMachine } from "../../host/browser/worker-machine.ts";
import { type FromBridge, siteOrigin, type ToBridge } from "./messages.ts";

/** A frame that has not spoken by then is on an origin that leads elsewhere. */
const PATIENCE_MS = 4000;

export class SiteFrame {
  /** Is the site on another origin than the Lab, so that it cannot reach into it? */
  isApart = false;
  readonly #frame: HTMLIFrameElement;
  readonly #machine: () => WorkerMachine | null;
  #origin = "";
  #heard: (message: FromBridge) => void = () => {};

  /** `machine`: the one that runs now. */
  constructor(frame: HTMLIFrameElement, machine: () => WorkerMachine | null) {
    this.#frame = frame;
    this.#machine = machine;
    addEventListener("message", ({ data, source, origin }) => {
      const isOurs = source === frame.contentWindow && origin === this.#origin;
      if (isOurs) this.#received(data as FromBridge);
    });
  }

  /**
   * Resolves when the site of the machine of that name is shown. Rejects with an Error that says
   * why it cannot be.
   */
  async show(name: string): Promise<void> {
    const here = new URL(location.href);
    const apart = siteOrigin(here);
    if (apart !== null) {
      this.isApart = true;
      if (
        await this.#load(apart, name).then(
          () => true,
          () => false,
        )
      )
        return;
    }
    this.isApart = false;
    await this.#load(here.origin, name);
  }

  reload(): void {
    this.#tell({ torito: "lab-reload" });
  }

  #load(origin: string, machine: string): Promise<void> {
    this.#origin = origin;
    const path = new URL("bridge.html", document.baseURI).pathname;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`${origin} does not answer`)), PATIENCE_MS);
      this.#heard = (message) => {
        if (message.torito === "bridge-loaded") {
          this.#tell({ torito: "lab-machine", machine, isIsolated: crossOriginIsolated });
          return;
        }
        clearTimeout(timer);
        if (message.torito === "bridge-shows") resolve();
        else if (message.torito === "bridge-failed") reject(new Error(message.reason));
      };
      this.#frame.src = `${origin}${path}`;
    });
  }

  #received(message: FromBridge): void {
    if (message.torito !== "bridge-switchboard") {
      this.#heard(message);
      return;
    }
    const port = this.#machine()?.switchboard();
    this.#tell({ torito: "lab-switchboard" }, port === undefined ? [] : [port]);
  }

  #tell(message: ToBridge, transfer: Transferable[] = []): void {
    this.#frame.contentWindow?.postMessage(message, this.#origin, transfer);
  }
}
