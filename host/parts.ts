// The parts of a machine: its options, and the services of the host it runs on.
import type { withAccessLog } from "./access-log.ts";
import { compileImage } from "./image.ts";
import type { insightOf } from "./inspect/insight.ts";
import type { MachineOptions } from "./options.ts";
import type { Clock } from "./ports/clock.ts";
import type { FirmwareLibrary } from "./ports/firmware.ts";

/** The host, as a machine sees it. */
export interface Platform {
  /** For machines without a clock of their own. */
  readonly clock: Clock;
  /** Called for each machine: the library may be loaded on first use. */
  loadFirmware(): Promise<FirmwareLibrary>;
  /** SHA-256 in hexadecimal digits. Missing: no snapshot can be written to bytes or read. */
  sha256?(bytes: Uint8Array): string;
  /** Are these bytes all 0? For a host that is faster at it than a loop. */
  isZero?(bytes: Uint8Array, from: number, to: number): boolean;
  /** Reads an image. Default: by fetch(). */
  readImage?(url: URL): Promise<BufferSource>;
}

export interface MachineParts {
  readonly module: WebAssembly.Module;
  readonly library: FirmwareLibrary;
  readonly options: MachineOptions;
  readonly clock: Clock;
  readonly platform: Platform;
  /** Loaded if the options ask for an access log, or for a trace. */
  readonly withAccessLog: typeof withAccessLog | null;
  readonly insightOf: typeof insightOf | null;
}

export async function loadParts(
  options: MachineOptions,
  platform: Platform,
): Promise<MachineParts> {
  const loading = [loadImage(options.image, platform), platform.loadFirmware()] as const;
  const [module, library] = await Promise.all(loading);
  const { accessLog, trace, clock = platform.clock } = options;
  return {
    ...{ module, library, options, clock, platform },
    withAccessLog: accessLog === undefined ? null : (await import("./access-log.ts")).withAccessLog,
    insightOf: trace === undefined ? null : (await import("./inspect/insight.ts")).insightOf,
  };
}

async function loadImage(
  image: MachineOptions["image"],
  { readImage = fetchImage }: Platform,
): Promise<WebAssembly.Module> {
  return compileImage(image instanceof URL ? await readImage(image) : image);
}

/** Rejects with an Error that names the URL. */
export async function fetchImage(url: URL): Promise<BufferSource> {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`image: ${url} answers ${response.status}`);
  return response.arrayBuffer();
}
