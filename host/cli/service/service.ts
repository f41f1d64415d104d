// A guest that serves clients: ports that are bound before it boots, the machine behind them, and
// the order in which both begin and end.

import type { VsockOptions } from "../../devices/vsock/options.ts";
import type { Log } from "../../log.ts";
import { VsockDevice } from "../../node/devices.ts";
import { Machine, type MachineOptions } from "../../node/machine.ts";
import type { Snapshot } from "../../node/snapshot.ts";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import type { Watchdog } from "../../node/watchdog.ts";
import type { TcpAddress } from "../../ports/sockets.ts";
import { StandingPorts } from "../../service/standing-ports.ts";
import type { Command, Publish } from "../arguments.ts";
import { openDoors } from "../doors.ts";
import type { readImage } from "../image.ts";
import { available, boot, openDevices, presenceOf, urlOf, usable } from "../parts.ts";
import { openSite } from "../site.ts";
import { stdout } from "../streams.ts";
import type { Drainable } from "./drain.ts";

/** Clients that wait in the kernel when the last one is let in. */
const BACKLOG_MS = 100;
/** A client that has sent nothing for that long is not about to. */
const QUIET_MS = 1000;

export interface ServiceParts {
  readonly image: ReturnType<typeof readImage>;
  /** null: machines boot. */
  readonly snapshot: Snapshot | null;
  readonly capture: VsockOptions["capture"];
  readonly trace: MachineOptions["trace"];
  readonly watchdog: Watchdog | null;
  readonly log: Log;
}

export class Service implements Drainable {
  readonly #command: Command;
  readonly #parts: ServiceParts;
  readonly #ports = new StandingPorts(new NodeSockets());
  readonly #bound: Publish[] = [];
  #vsock: VsockDevice | null = null;
  #machine: Machine | null = null;
  #isOpen = false; // clients have been let in
  #isRetired = false;

  constructor(command: Command, parts: ServiceParts) {
    this.#command = command;
    this.#parts = parts;
  }

  get vsock(): VsockDevice | null {
    return this.#vsock;
  }

  get isReady(): boolean {
    return this.#isOpen && !this.#isRetired && this.#machine?.ended === false;
  }

  /** Binds the published ports, where clients wait from now on. Rejects with CliError. */
  async bind(): Promise<void> {
    for (const wanted of this.#command.publish) {
      const { host, port } = (await available(this.#ports.bind(wanted))) as TcpAddress;
      this.#parts.log("debug", "torito", `listening on ${host}:${port}`);
      this.#bound.push({ ...wanted, host, port });
    }
  }

  /**
   * Boots a machine. Clients are let in once its guest listens, which resolves nothing: the machine
   * may end before. Rejects with CliError.
   */
  async start(): Promise<Machine> {
    const { cid, connect, seqpacket, memoryBytes, parameters, vsockPath } = this.#command;
    const { image, snapshot, capture, trace, watchdog, log } = this.#parts;
    const vsock = new VsockDevice({ cid, connect, seqpacket, capture, sockets: this.#ports });
    const others = await openDevices(this.#command);
    const site = openSite(this.#command, log);
    const devices = [vsock, ...others, ...(site === null ? [] : [site.device])];
    const console = stdout.write;
    const options = { ...image, devices, console, log, ...presenceOf(watchdog), trace };
    const machine = await usable(
      snapshot === null
        ? Machine.create({ ...options, memoryBytes, parameters })
        : Machine.restore(snapshot, options),
    );
    this.#vsock = vsock;
    this.#machine = machine;
    machine.control.draining = this.#isRetired;
    for (const one of this.#bound) await vsock.publish(one);
    if (vsockPath !== null) await available(vsock.publishPath(vsockPath));
    if (snapshot === null) boot(machine);
    if (machine.ended) log("debug", "torito", "the guest has ended while it booted");
    else void this.#open(machine, vsock);
    return machine;
  }

  retire(): void {
    this.#isRetired = true;
    if (this.#machine !== null) this.#machine.control.draining = true;
    this.#vsock?.watchQuiet();
  }

  async drain(): Promise<void> {
    await this.#ports.finish(BACKLOG_MS);
    await this.#ports.emptied();
    await this.#vsock?.drain({ quietMs: QUIET_MS });
  }

  reset(): number {
    const waiting = this.#ports.waiting;
    this.#ports.keep([]);
    return waiting + (this.#vsock?.resetClients() ?? 0);
  }

  /** The end: of the ports, and of the machine. */
  dispose(): void {
    this.#ports.keep([]);
    this.#machine?.dispose();
  }

  /** Lets clients in, and says so. */
  async #open(machine: Machine, vsock: VsockDevice): Promise<void> {
    const { log } = this.#parts;
    const isCurrent = () => machine === this.#machine;
    const late = (port: number) =>
      log("warn", "torito", `nothing listens on port ${port} of the guest`);
    try {
      await openDoors(this.#ports, vsock, this.#bound, isCurrent, late);
    } catch (error) {
      // The machine has ended, which is reported elsewhere, or it drains.
      log("debug", "torito", `not ready: ${(error as Error).message}`);
      return;
    }
    this.#isOpen = true;
    const urls = this.#bound.map((one) => `  ${urlOf(one)}`);
    log("info", "torito", `ready in ${performance.now().toFixed(0)} ms${urls.join("")}`);
  }
}
