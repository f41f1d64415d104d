// WebServer on a clock that stands still, with scripted clients, in front of a real directory.

import type { AccessSink } from "../../host/access-log.ts";
import { FsDevice, type FsOptions, VsockDevice } from "../../host/node/devices.ts";
import { hostFiles } from "../../host/node/files/host-files.ts";
import { Machine } from "../../host/node/machine.ts";
import { SiteSource } from "../../host/node/site.ts";
import type { Acceptor, SocketEvents, Sockets, StreamSocket } from "../../host/ports/sockets.ts";
import { SITE_PRESETS, type SiteSettings } from "../../host/site/settings.ts";
import type { TraceSink } from "../../host/trace/event.ts";
import { compileOnce } from "./compiled.ts";
import { SetClock } from "./set-clock.ts";

const { wasm } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
const image = new WebAssembly.Module(wasm);

export const MIB = 1024 * 1024;

/** The far end of one connection; takes everything at once unless it is slow. */
export class Client implements StreamSocket {
  events = {} as SocketEvents; // until the device adopts it
  received = "";
  left = false;
  /** Lets the server have its turn. */
  settle: () => void = () => {};
  readonly slow: boolean;

  constructor(slow = false) {
    this.slow = slow;
  }

  send(parts: readonly Uint8Array[]): boolean {
    for (const part of parts) this.received += Buffer.from(part).toString("latin1");
    return !this.slow;
  }

  get(path: string): void {
    this.events.data(Buffer.from(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`));
    this.settle();
  }

  readInto(): boolean {
    return false;
  }
  end(): void {}
  pause(): void {}
  resume(): void {}
  close(): void {
    this.left = true;
  }
  reset(): void {
    this.left = true;
  }
}

export interface Options extends Partial<FsOptions> {
  readonly memoryBytes?: number;
  readonly parameters?: string;
  /** The most bytes that the device takes for a client. */
  readonly bufAlloc?: number;
  /** Nanoseconds since 1970 when it boots. */
  readonly realtimeNs?: bigint;
  /** The site's options; undefined: the machine has no settings. */
  readonly settings?: Partial<SiteSettings>;
  /** Takes what the guest notes of requests. */
  readonly accessLog?: AccessSink;
  /** Is told of every request to the file device, by its name. */
  readonly onRequest?: (name: string) => void;
}

export async function serve(site: string, options: Options = {}) {
  const { memoryBytes = 64 * MIB, parameters = "", bufAlloc = 65536 } = options;
  const { onRequest, realtimeNs = 0n, settings, accessLog, ...files } = options;
  const clock = new SetClock();
  clock.setRealtime(realtimeNs);
  let acceptor: Acceptor | undefined;
  const sockets: Sockets = {
    listen: async (address, _backlog, one) => {
      acceptor = one;
      return { address, close() {} };
    },
    connect: () => {
      throw new Error("the guest connects to nothing");
    },
  };
  const source = settings && new SiteSource(site, { ...SITE_PRESETS, ...settings });
  const vsock = new VsockDevice({ sockets, limits: { bufAlloc } });
  const fs = new FsDevice({
    directory: site,
    tag: "site",
    readOnly: true,
    files: hostFiles(),
    attrTimeoutMs: 0,
    ...files,
  });
  let log = "";
  const console = (text: string) => {
    log += text;
  };
  const trace: TraceSink | undefined =
    onRequest &&
    (({ name, args }) => {
      if (args?.nodeid !== undefined) onRequest(name);
    });
  const machine = await Machine.create({
    image,
    devices: source ? [vsock, fs, source.device] : [vsock, fs],
    clock,
    memoryBytes,
    parameters,
    console,
    trace,
    accessLog,
  });
  await vsock.publish({ port: 80, guestPort: 80 });
  machine.boot();
  const settle = () => {
    while (clock.settle() > 0);
  };
  const connect = (client: Client): Client => {
    client.settle = settle;
    acceptor?.accepted(client);
    settle();
    return client;
  };
  const count = (name: string) => Number(machine.call(name));
  const lines = () => log.split("\n").filter((line) => line.startsWith("WebServer: "));
  return { clock, connect, machine, settle, count, lines, vsock };
}
