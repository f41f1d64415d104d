// `--print-config` and `--check`: what holds, and whether it would work. A check does what a start
// does, in its order, up to a machine that never boots; so it ends as the start would.
import { createServer } from "node:net";
import { setTimeout } from "node:timers/promises";
import type { VirtioDevice } from "../../device.ts";
import { createLog, type Log } from "../../log.ts";
import { VsockDevice } from "../../node/devices.ts";
import { Machine } from "../../node/machine.ts";
import { NodeSockets } from "../../node/sockets/node-sockets.ts";
import type { SocketAddress } from "../../ports/sockets.ts";
import type { Command } from "../commands.ts";
import { imagePath, readImage } from "../image.ts";
import { openCard, withFamily } from "../net/card.ts";
import { boot, exitCode, makeDevice, openVolume, usable } from "../parts.ts";
import { assertShares } from "../replicas/ports.ts";
import { listenAt } from "../service/admin-address.ts";
import { assertOpens } from "../service/log-file.ts";
import { openSite } from "../site.ts";
import { loadSnapshot, withDevicesOf } from "../snapshots.ts";
import { stderr, stdout } from "../streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_ERRORS, EXIT_UNAVAILABLE } from "../usage.ts";
import { connectionsIn } from "../values.ts";
import { assertDescriptors } from "./descriptors.ts";
import { effectiveText } from "./effective.ts";
import { assertPrivate } from "./private-files.ts";
import { assertServed } from "./publish.ts";

/** A guest that does not serve by then is not waited for. */
const BOOT_MS = 2000;

/** Carries out a command that only asks about its settings. */
export async function examine(command: Command): Promise<End> {
  if (command.act === "print") {
    await stdout.write(effectiveText(command.settings));
    return asLongAsItTakes(0);
  }
  const log = createLog({
    ...{ format: command.logFormat, level: command.logLevel, write: stderr.line },
    fields: { cid: command.cid },
  });
  const path = await imagePath(command);
  if (path === null) return asLongAsItTakes(EXIT_ERRORS);
  const faults = await new Check(command, path, log).faults();
  for (const { message } of faults) stderr.line(`torito: ${message}\n`);
  if (faults.length === 0) stderr.line("torito: the configuration is good\n");
  return asLongAsItTakes(faults[0]?.code ?? 0);
}

class Check {
  #command: Command;
  readonly #path: string;
  readonly #log: Log;
  readonly #faults: CliError[] = [];
  readonly #devices: VirtioDevice[] = [];
  /** Listeners that the check has opened. */
  readonly #opened: { close(): void }[] = [];

  /** `path` is that of the image. */
  constructor(command: Command, path: string, log: Log) {
    this.#command = command;
    this.#path = path;
    this.#log = log;
  }

  /** All that a start would not get over, in the order in which it would meet them. */
  async faults(): Promise<readonly CliError[]> {
    await this.#try(() => this.#memory());
    await this.#try(() => assertServed(this.#command));
    await this.#try(() => assertPrivate(this.#command));
    await this.#try(() => assertDescriptors(this.#command));
    await this.#try(() => this.#snapshot());
    await this.#try(() => this.#threads());
    const { capture, netCapture, trace } = this.#command;
    await this.#try(() => this.#record("pcap", capture?.path ?? null));
    await this.#try(() => this.#record("pcap-net", netCapture?.path ?? null));
    await this.#try(() => this.#record("trace", trace?.path ?? null));
    await this.#try(() => this.#accessLog());
    for (const { host, port } of this.#command.publish) {
      await this.#try(() => this.#listen({ host, port }));
    }
    const { volumes, devices, replicas, areThreads } = this.#command;
    // Replicas get them from the process, which reads them once.
    if (areThreads) await this.#try(() => this.#settings());
    await this.#try(() => this.#admin());
    for (const volume of volumes) {
      await this.#try(() => void this.#devices.push(openVolume(volume, this.#command, replicas)));
    }
    for (const path of devices) {
      await this.#try(async () => void this.#devices.push(await makeDevice(path)));
    }
    if (!areThreads) await this.#try(() => this.#settings());
    await this.#try(() => this.#card());
    const { site, net } = this.#command;
    const wanted =
      volumes.length + devices.length + (site === null ? 0 : 1) + (net === null ? 0 : 1);
    if (this.#devices.length === wanted) await this.#try(() => this.#machine());
    else for (const device of this.#devices) device.dispose();
    const { vsockPath } = this.#command;
    if (vsockPath !== null) await this.#try(() => this.#listen({ path: vsockPath }));
    for (const one of this.#opened) one.close();
    return this.#faults;
  }

  async #try(step: () => void | Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      if (!(error instanceof CliError)) throw error;
      const isNew = this.#faults.every(({ message }) => message !== error.message);
      if (isNew) this.#faults.push(error);
    }
  }

  #memory(): void {
    const { connections, memoryBytes, site } = this.#command;
    const most = connectionsIn(memoryBytes);
    if (site === null || connections <= most) return;
    throw new CliError(`connections: ${connections} do not fit into memory, which holds ${most}`);
  }

  async #snapshot(): Promise<void> {
    const { restorePath } = this.#command;
    if (restorePath === null) return;
    this.#command = withDevicesOf(this.#command, await loadSnapshot(restorePath, this.#log));
  }

  /** Can replicas share ports here? */
  #threads(): void {
    if (this.#command.areThreads) assertShares();
  }

  #record(option: string, path: string | null): void {
    try {
      if (path !== null) assertOpens(path);
    } catch (error) {
      throw new CliError(`--${option} ${path}: ${(error as Error).message}`, EXIT_UNAVAILABLE);
    }
  }

  #accessLog(): void {
    const { path } = this.#command.accessLog;
    try {
      if (path !== null) assertOpens(path);
    } catch (error) {
      throw new CliError(`access-log: ${(error as Error).message}`);
    }
  }

  async #listen(address: SocketAddress): Promise<void> {
    const nobody = { accepted() {}, refused() {} };
    try {
      this.#opened.push(await new NodeSockets().listen(address, 1, nobody));
    } catch (error) {
      throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
    }
  }

  /** The card goes with the machine, and its network with it. */
  async #card(): Promise<void> {
    const { net } = this.#command;
    if (net === null) return;
    const { device } = await openCard(net, new NodeSockets(), this.#log);
    this.#devices.push(device);
  }

  async #admin(): Promise<void> {
    const { admin } = this.#command;
    if (admin === null) return;
    const server = createServer();
    await listenAt(server, admin.address);
    this.#opened.push(server);
  }

  /** Options and rules of the site. */
  #settings(): void {
    const site = openSite(this.#command, this.#log);
    if (site !== null) this.#devices.push(site.device);
  }

  /**
   * Is there a machine of this size, with this image and these devices? WebServer boots in it, and
   * has no clients; what other applications do when they boot is not known.
   */
  async #machine(): Promise<void> {
    const { app, memoryBytes, cid, connect, seqpacket, site, publish } = this.#command;
    const parameters = withFamily(this.#command.parameters, publish);
    const vsock = new VsockDevice({ cid, connect, seqpacket, sockets: new NodeSockets() });
    const devices = [vsock, ...this.#devices];
    const image = readImage(app, this.#path);
    let said = "";
    const console = (text: string) => {
      said = text;
    };
    const options = { ...image, devices, memoryBytes, parameters, console, log: this.#log };
    const machine = await usable(Machine.create(options));
    if (site !== null && this.#command.restorePath === null) {
      boot(machine);
      await this.#untilServing(vsock);
    }
    const exit = machine.ended ? await machine.exited : null;
    machine.dispose();
    if (exit === null) return;
    const last = said.trimEnd().split("\n").at(-1);
    throw new CliError(`the guest has ended: ${last}`, exitCode(exit, this.#log));
  }

  async #untilServing(vsock: VsockDevice): Promise<void> {
    const [port] = this.#command.publish;
    if (port === undefined) return;
    const patience = new AbortController();
    const late = setTimeout(BOOT_MS, null, { signal: patience.signal }).catch(() => {});
    const served = vsock.probe(port.guestPort).catch(() => {}); // it has ended
    await Promise.race([served, late]);
    patience.abort();
  }
}
