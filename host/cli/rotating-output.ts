// A capture in files of limited size, of which the last ones are kept. Each begins with the header
// of the first, so that it can be read alone.
import { rmSync } from "node:fs";
import { parse } from "node:path";
import { OutputFile } from "./output.ts";

export interface Rotation {
  /** Bytes of one file. A record is never divided. */
  readonly bytesMax: number;
  /** Files that are kept; null: all. */
  readonly filesMax: number | null;
}

export class RotatingOutput {
  readonly #path: string;
  readonly #rotation: Rotation;
  readonly #open: (path: string) => OutputFile;
  readonly #failed: (message: string) => void;
  readonly #kept: string[] = []; // paths, oldest first
  #header: Uint8Array | null = null;
  #file: OutputFile;
  #bytes = 0; // in the file
  #serial = 0;
  #incomplete = false;

  /** `what` and `failed` as for OutputFile. Throws if the first file cannot be created. */
  constructor(what: string, path: string, rotation: Rotation, failed: (message: string) => void) {
    this.#path = path;
    this.#rotation = rotation;
    this.#failed = (message) => failed(`the ${what} ${path} ends here: ${message}`);
    this.#open = (name) => new OutputFile(what, name, failed);
    this.#file = this.#next();
  }

  /** Was something lost? */
  get incomplete(): boolean {
    return this.#incomplete || this.#file.incomplete;
  }

  /** The first call is given the header, and each one after it a record. */
  readonly write = (bytes: Uint8Array): void => {
    if (this.#header === null) this.#header = bytes.slice();
    else if (this.#bytes + bytes.length > this.#rotation.bytesMax) this.#rotate(this.#header);
    this.#bytes += bytes.length;
    this.#file.write(bytes);
  };

  readonly close = (): void => this.#file.close();

  #rotate(header: Uint8Array): void {
    // A file without a record would be followed by another one for ever.
    if (this.#bytes === header.length) return;
    this.#file.close();
    this.#incomplete ||= this.#file.incomplete;
    if (this.#incomplete) return; // nothing more is written
    try {
      this.#file = this.#next();
    } catch (error) {
      this.#incomplete = true;
      this.#failed((error as Error).message);
      return;
    }
    this.#file.write(header);
    this.#bytes = header.length;
  }

  #next(): OutputFile {
    const path = this.#name(++this.#serial, new Date());
    const file = this.#open(path);
    const { filesMax } = this.#rotation;
    if (filesMax !== null && this.#kept.push(path) > filesMax) {
      rmSync(this.#kept.shift() as string, { force: true });
    }
    return file;
  }

  /** As dumpcap names its files: `base_00001_YYYYMMDDhhmmss.pcap`. */
  #name(serial: number, now: Date): string {
    const { dir, name, ext } = parse(this.#path);
    const time = now.toISOString().replace(/[-:T]|\..*/g, "");
    const folder = dir === "" ? "" : `${dir}/`;
    return `${folder}${name}_${`${serial}`.padStart(5, "0")}_${time}${ext}`;
  }
}
