// The files of `--pcap` and `--trace`.

import type { Log } from "../log.ts";
import { PacketCapture } from "../node/devices.ts";
import type { TraceSink } from "../trace/event.ts";
import { JsonTrace } from "../trace/json-trace.ts";
import { OutputFile } from "./output.ts";
import { CliError, EXIT_UNAVAILABLE } from "./usage.ts";

export class Recording {
  readonly #log: Log;
  readonly #files: OutputFile[] = [];
  readonly #ends: (() => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
    process.on("exit", () => this.end()); // however the process ends
  }

  capture(path: string): PacketCapture {
    return new PacketCapture(this.#open("pcap", "capture", path).write);
  }

  trace(path: string): TraceSink {
    const trace = new JsonTrace(this.#open("trace", "trace", path).write);
    this.#ends.push(trace.end);
    return trace.sink;
  }

  /** Finishes the files. Returns whether they are complete. Calling it again does nothing. */
  end(): boolean {
    for (const end of this.#ends) end();
    for (const file of this.#files) file.close();
    return !this.#files.some(({ incomplete }) => incomplete);
  }

  #open(option: string, what: string, path: string): OutputFile {
    try {
      const file = new OutputFile(what, path, (message) => this.#log("error", "torito", message));
      this.#files.push(file);
      return file;
    } catch (error) {
      throw new CliError(`--${option} ${path}: ${(error as Error).message}`, EXIT_UNAVAILABLE);
    }
  }
}
