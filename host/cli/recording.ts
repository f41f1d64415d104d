// The files of `--pcap`, `--pcap-net` and `--trace`.

import type { FrameTap } from "../devices/net/tap.ts";
import type { PacketTap } from "../devices/vsock/rings/tap.ts";
import type { Log } from "../log.ts";
import { systemClock } from "../node/clock.ts";
import { FrameCapture, PacketCapture, TcpCapture } from "../node/devices.ts";
import type { CaptureOptions } from "../pcap.ts";
import type { TraceSink } from "../trace/event.ts";
import { JsonTrace } from "../trace/json-trace.ts";
import { OutputFile } from "./output.ts";
import { RotatingOutput, type Rotation } from "./rotating-output.ts";
import { CliError, EXIT_UNAVAILABLE } from "./usage.ts";

export interface TraceSettings {
  readonly path: string;
  /** With paths of requests and names of files? */
  readonly names: boolean;
}

/** A capture, whatever is captured. */
export interface CaptureFileSettings extends Pick<CaptureOptions, "snaplen"> {
  /** `-`: the standard output. */
  readonly path: string;
  /** null: one file. */
  readonly rotation: Rotation | null;
}

export interface CaptureSettings extends CaptureFileSettings, CaptureOptions {
  readonly format: CaptureFormat;
}

export type CaptureFormat = "vsock" | "tcp";

export class Recording {
  readonly #log: Log;
  readonly #files: (OutputFile | RotatingOutput)[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
    process.on("exit", () => this.end()); // however the process ends
  }

  capture({ path, format, rotation, ...options }: CaptureSettings): PacketTap {
    const Capture = format === "tcp" ? TcpCapture : PacketCapture;
    return new Capture(this.#open("pcap", "capture", path, rotation).write, systemClock, options);
  }

  /** Frames of the card. */
  captureNet({ path, rotation, ...options }: CaptureFileSettings): FrameTap {
    const { write } = this.#open("pcap-net", "capture", path, rotation);
    return new FrameCapture(write, systemClock, options);
  }

  trace({ path, names }: TraceSettings): TraceSink {
    const trace = new JsonTrace(this.#open("trace", "trace", path).write, { names });
    this.#ends.push(trace.end);
    return trace.sink;
  }

  /** Finishes the files. Returns whether they are complete. Calling it again does nothing. */
  end(): boolean {
    for (const end of this.#ends) end();
    for (const file of this.#files) file.close();
    return !this.#files.some(({ incomplete }) => incomplete);
  }

  #open(
    option: string,
    what: string,
    path: string,
    rotation: Rotation | null = null,
  ): OutputFile | RotatingOutput {
    try {
      const failed = (message: string) => this.#log("error", "torito", message);
      const file =
        rotation === null
          ? new OutputFile(what, path, failed)
          : new RotatingOutput(what, path, rotation, failed);
      this.#files.push(file);
      return file;
    } catch (error) {
      throw new CliError(`--${option} ${path}: ${(error as Error).message}`, EXIT_UNAVAILABLE);
    }
  }
}
