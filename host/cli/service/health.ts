// Is the service alive, and is it ready? A service that is not alive should be started again; one
// that is not ready should get no clients for now.
import { stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import type { Inspector } from "../../inspect/inspector.ts";
import type { Machine } from "../../machine.ts";
import { readGuestLoad } from "../../stats.ts";
import type { Command } from "../commands.ts";
import type { GuestPorts } from "../guest-ports.ts";

/** A guest or a disk that takes longer is not well. */
export const PATIENCE_MS = 1000;
const LOOK_MS = 20;
/** Share of connections in use from which new clients should go elsewhere. */
const CROWDED = 0.95;

/** One condition of readiness. */
export interface Check {
  readonly name: string;
  /** "": it holds; otherwise why it does not. */
  readonly fault: string;
}

/** Whose health it is. */
export interface Patient {
  readonly command: Command;
  readonly machine: Pick<Machine, "memory" | "ended"> | null;
  readonly guest: GuestPorts | null;
  /** Have clients been let in? */
  readonly isOpen: boolean;
  /** null: nobody can pause the machine. */
  readonly inspector: Pick<Inspector, "state"> | null;
}

/** Of one machine. */
export class Health {
  readonly #service: Patient;
  #asking: Promise<boolean> | null = null; // of the guest

  constructor(service: Patient) {
    this.#service = service;
  }

  /** Does the guest run when it is given something to do? Looks at neither disk nor load. */
  async isLive(): Promise<boolean> {
    const { machine, guest, command } = this.#service;
    if (machine === null || guest === null || machine.ended) return false;
    if (this.#isPaused) return true; // a restart would take the machine from whoever looks at it
    const [port] = command.publish;
    if (port === undefined) return true;
    const before = readGuestLoad(machine.memory).heartbeat;
    // The guest has to look at it, whether or not it accepts.
    guest.probeOnce(port, () => {});
    for (let ms = 0; ms < PATIENCE_MS; ms += LOOK_MS) {
      if (readGuestLoad(machine.memory).heartbeat !== before) return true;
      await setTimeout(LOOK_MS);
    }
    return false;
  }

  /** Why its guest takes no clients, or "". */
  async guestFault(): Promise<string> {
    if (!this.#service.isOpen) return "it does not listen yet";
    if (this.#isPaused) return "the inspector has paused it";
    this.#asking ??= this.#accepts().finally(() => {
      this.#asking = null;
    });
    return (await this.#asking) ? "" : "it does not accept";
  }

  get #isPaused(): boolean {
    return this.#service.inspector?.state === "paused";
  }

  /** Has the guest accepted a probe on each served port? */
  async #accepts(): Promise<boolean> {
    const { guest, machine, command } = this.#service;
    if (guest === null || machine === null || machine.ended) return false;
    const accepted = command.publish.map(
      (port) =>
        new Promise<boolean>((resolve) => {
          if (!guest.probeOnce(port, resolve)) resolve(false);
        }),
    );
    const all = Promise.all(accepted).then((each) => each.every((one) => one));
    return Promise.race([all, setTimeout(PATIENCE_MS, false)]);
  }
}

/** Every condition of readiness. */
export async function checksOf(
  { volumes }: Command,
  isRetired: boolean,
  guestFault: Promise<string>,
  connections: Promise<{ readonly open: number; readonly most: number }>,
): Promise<readonly Check[]> {
  const disks = volumes.map(async ({ directory, tag }) => ({
    name: `volume ${tag}`,
    fault: await diskFault(directory),
  }));
  const guest = { name: "guest", fault: await guestFault };
  const { open, most } = await connections;
  const crowd = open < most * CROWDED ? "" : `${open} of ${most} in use`;
  return [
    { name: "drain", fault: isRetired ? "draining" : "" },
    guest,
    ...(await Promise.all(disks)),
    { name: "connections", fault: crowd },
  ];
}

async function diskFault(directory: string): Promise<string> {
  const asked = stat(directory).then(
    () => "",
    (error: Error) => error.message,
  );
  return Promise.race([asked, setTimeout(PATIENCE_MS, "no answer from the disk")]);
}

/** A line for each fault, or for each condition (`verbose`), as Kubernetes' own servers write. */
export function checksText(checks: readonly Check[], verbose: boolean): string {
  const lines = checks
    .filter(({ fault }) => verbose || fault !== "")
    .map(({ name, fault }) => (fault === "" ? `[+]${name} ok` : `[-]${name} failed: ${fault}`));
  return [...lines, checks.every(({ fault }) => fault === "") ? "ready" : "not ready", ""].join(
    "\n",
  );
}
