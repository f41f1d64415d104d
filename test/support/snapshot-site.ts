// WebServer on a clock that stands still, to be saved and continued: every machine of a test serves
// the same directory, to clients that are only calls.
import { createHash } from "node:crypto";
import { TIME_PAGE_ADDRESS, TimePage } from "../../abi/boot.ts";
import type { UserNetwork } from "../../host/devices/net/user.ts";
import { NetDevice } from "../../host/devices/net.ts";
import {
  FsDevice,
  type FsOptions,
  VsockDevice,
  type VsockOptions,
} from "../../host/node/devices.ts";
import { hostFiles } from "../../host/node/files/host-files.ts";
import { Machine, type MachineOptions } from "../../host/node/machine.ts";
import type { Acceptor, Sockets } from "../../host/ports/sockets.ts";
import type { Snapshot } from "../../host/snapshot/snapshot.ts";
import { compileOnce } from "./compiled.ts";
import { SetClock } from "./set-clock.ts";
import { userNetwork } from "./user-lab.ts";
import { Client, MIB } from "./web-server-script.ts";

const { wasm, map } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
export const webServer = wasm;

export interface SiteOptions extends Partial<MachineOptions> {
  readonly fs?: Partial<FsOptions>;
  readonly vsock?: Partial<VsockOptions>;
  /** Is the port one of a card on a user network? Its clients are those of this network. */
  readonly hasCard?: boolean;
  /** Default: a new one. */
  readonly manual?: SetClock;
  /** Called when clients can come, before the machine is restored. */
  readonly early?: (site: Site) => void;
}

/** One machine with its devices, and what a client of it needs. */
export class Site {
  readonly clock: SetClock;
  readonly vsock: VsockDevice;
  readonly fs: FsDevice;
  /** null: it has no card. */
  readonly network: UserNetwork | null;
  readonly card: NetDevice | null;
  machine!: Machine;
  log = "";
  /** Lines of the machine's log, for people. */
  readonly lines: string[] = [];
  #acceptor: Acceptor | undefined;

  private constructor(directory: string, { fs, vsock, manual, hasCard }: SiteOptions) {
    this.clock = manual ?? new SetClock();
    const sockets: Sockets = {
      listen: async (address, _backlog, one) => {
        this.#acceptor = one;
        return { address, close() {} };
      },
      connect: () => {
        throw new Error("the guest connects to nothing");
      },
    };
    this.vsock = new VsockDevice({ sockets, ...vsock });
    this.network = hasCard === true ? userNetwork({ sockets }).network : null;
    this.card = this.network && new NetDevice({ network: this.network });
    const files = hostFiles();
    this.fs = new FsDevice({ directory, tag: "site", readOnly: true, files, ...fs });
  }

  /** Boots WebServer. */
  static async boot(directory: string, options: SiteOptions = {}): Promise<Site> {
    const site = new Site(directory, options);
    site.machine = await Machine.create({
      image: wasm,
      memoryBytes: 16 * MIB,
      ...site.#parts(options),
    });
    await site.#publish();
    site.machine.boot();
    site.settle();
    return site;
  }

  /** Goes on from a snapshot of a site. */
  static async restore(
    snapshot: Snapshot,
    directory: string,
    options: SiteOptions = {},
  ): Promise<Site> {
    const site = new Site(directory, options);
    await site.#publish();
    options.early?.(site);
    site.machine = await Machine.restore(snapshot, site.#parts(options));
    site.settle();
    return site;
  }

  #parts({ fs: _, vsock: __, manual: ___, early: ____, hasCard, ...options }: SiteOptions) {
    return {
      sourceMap: map,
      devices: [this.vsock, this.fs, ...(this.card === null ? [] : [this.card])],
      ...(hasCard === true ? { parameters: "net=inet net.address=10.0.2.15/24" } : {}),
      clock: this.clock,
      console: (text: string) => {
        this.log += text;
      },
      log: (level: string, component: string, message: string) => {
        this.lines.push(`${level} ${component}: ${message}`);
      },
      ...options,
    };
  }

  async #publish(): Promise<void> {
    await (this.network ?? this.vsock).publish({ port: 80, guestPort: 80 });
  }

  readonly settle = (): void => {
    while (this.clock.settle() > 0);
  };

  connect(client = new Client()): Client {
    client.settle = this.settle;
    this.#acceptor?.accepted(client);
    this.settle();
    return client;
  }

  /** All that comes for one request on a connection of its own; "" from a machine that ended. */
  get(path: string): string {
    const client = this.connect();
    if (this.machine.ended) return "";
    client.get(path);
    client.events.end();
    this.settle();
    client.events.closed();
    this.settle();
    return client.received;
  }

  count(name: string): number {
    return Number(this.machine.call(name));
  }

  /** All that the drivers did wrong. */
  faults(): number {
    return this.machine.registers
      .map((one) => one.illegalAccesses + one.rejectedChains + one.brokenQueues)
      .reduce((sum, count) => sum + count, 0);
  }

  /** Of the guest's RAM, but for the page where the host writes what time it is. */
  hash(): string {
    const { u8, ramBytes } = this.machine.memory;
    const hash = createHash("sha256").update(u8.subarray(0, TIME_PAGE_ADDRESS));
    const rest = u8.subarray(TIME_PAGE_ADDRESS + TimePage.sizeof, ramBytes);
    return hash.update(rest).digest("hex");
  }
}

/** Everything that tells two snapshots apart, but for the time that they were taken at. */
export function fingerprint({ content }: Snapshot): string {
  const { image: _, takenNs: __, pages, ...rest } = content;
  const text = JSON.stringify(rest, (_key, value) =>
    typeof value === "bigint" ? `${value}` : value instanceof Uint8Array ? [...value] : value,
  );
  return createHash("sha256").update(pages).update(text).digest("hex");
}
