// WebServer with settings in a machine of this process, and requests to it over TCP.
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import net from "node:net";
import { dirname } from "node:path";
import type { VirtioDevice } from "../../host/device.ts";
import { FsDevice, type FsOptions, VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { SiteSource } from "../../host/node/site.ts";
import { SITE_PRESETS, type SiteSettings } from "../../host/site/settings.ts";
import { makeFolder } from "./appliance.ts";

const image = new Uint8Array(readFileSync("build/web-server.wasm"));

/** Long ago, so that validators are strong. */
export const MTIME = 1_700_000_000;

/** A folder with files by their names, all of the same age. */
export function makeSite(files: Readonly<Record<string, string | Uint8Array>>): string {
  const folder = makeFolder();
  for (const [name, content] of Object.entries(files)) putFile(folder, name, content);
  return folder;
}

export function putFile(folder: string, name: string, content: string | Uint8Array): void {
  const path = `${folder}/${name}`;
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, content);
  utimesSync(path, MTIME, MTIME);
}

export interface Answer {
  readonly status: number;
  /** Values of equal names in their order. */
  readonly all: (name: string) => string[];
  /** The only value, or undefined. */
  readonly one: (name: string) => string | undefined;
  readonly head: string;
  readonly body: string;
}

/** The first answer in what a server sent; bytes as Latin-1. */
export function parseAnswer(text: string): Answer {
  const end = text.indexOf("\r\n\r\n");
  const [line = "", ...lines] = text.slice(0, end).split("\r\n");
  const fields = lines.map((one) => {
    const colon = one.indexOf(":");
    return [one.slice(0, colon).toLowerCase(), one.slice(colon + 1).trim()] as const;
  });
  const all = (name: string) =>
    fields.filter(([key]) => key === name.toLowerCase()).map(([, value]) => value);
  const one = (name: string) => {
    const values = all(name);
    if (values.length > 1) throw new Error(`${name} stands there ${values.length} times`);
    return values[0];
  };
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(line)?.[1]);
  return { status, all, one, head: text.slice(0, end), body: text.slice(end + 4) };
}

/** All that a server sends for these bytes until it ends the connection. */
export function exchange(port: number, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1", () => socket.write(request, "latin1"));
    const chunks: Buffer[] = [];
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
    socket.on("error", reject);
  });
}

/** A request as text; `headers` are whole lines. */
export function requestText(target: string, headers: readonly string[], method: string): string {
  const lines = [`${method} ${target} HTTP/1.1`, "Host: x", "Connection: close", ...headers];
  return `${lines.join("\r\n")}\r\n\r\n`;
}

const guests: SiteGuest[] = [];

/** Ends the machines of all tests. */
export function stopGuests(): void {
  for (const guest of guests.splice(0)) guest.machine.dispose();
}

export class SiteGuest {
  /** All that the guest printed. */
  console = "";
  port = 0;
  machine!: Machine;
  readonly fs: FsDevice;
  readonly source: SiteSource;
  readonly #vsock = new VsockDevice();

  private constructor(folder: string, settings: SiteSettings, fs: Partial<FsOptions>) {
    this.fs = new FsDevice({ directory: folder, tag: "site", ...fs });
    this.source = new SiteSource(folder, settings);
  }

  /** Serves a folder; options that are not given are at their defaults. */
  static async serve(
    folder: string,
    settings: Partial<SiteSettings> = {},
    fs: Partial<FsOptions> = {},
  ): Promise<SiteGuest> {
    const guest = new SiteGuest(folder, { ...SITE_PRESETS, ...settings }, fs);
    return guest.#boot([guest.#vsock, guest.fs, guest.source.device]);
  }

  /** Serves a folder in a machine without settings. */
  static async serveWithoutSettings(folder: string): Promise<SiteGuest> {
    const guest = new SiteGuest(folder, SITE_PRESETS, {});
    return guest.#boot([guest.#vsock, guest.fs]);
  }

  async #boot(devices: VirtioDevice[]): Promise<this> {
    guests.push(this);
    this.machine = await Machine.create({
      image,
      devices,
      console: (text) => {
        this.console += text;
      },
    });
    this.port = (await this.#vsock.publish({ port: 0, guestPort: 80 })).port;
    this.machine.boot();
    await this.#vsock.probe(80);
    return this;
  }

  /** Reads the rule files again, and tells the guest. */
  reload(settings: Partial<SiteSettings> = {}): void {
    this.source.reload({ ...SITE_PRESETS, ...settings });
    this.machine.control.settingsChanged();
  }

  async ask(target: string, headers: readonly string[] = [], method = "GET"): Promise<Answer> {
    return parseAnswer(await exchange(this.port, requestText(target, headers, method)));
  }

  /** The status of the answer. */
  async status(target: string, ...headers: string[]): Promise<number> {
    return (await this.ask(target, headers)).status;
  }
}
