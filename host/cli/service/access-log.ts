// The access log of a service: its file, the addresses in it, and what is said of connections that
// were given up.
import { AccessReason } from "../../../abi/access-log.ts";
import type { AccessSink, LoggedConnection } from "../../access-log.ts";
import { type Log, limitLog } from "../../log.ts";
import {
  type AccessFormat,
  forwardedOf,
  lineBytesMax,
  putLine,
  reasonName,
} from "../../service/access-line.ts";
import type { RequestCounters } from "../../service/request-counters.ts";
import { type Entry, Requests } from "../../service/requests.ts";
import { CliError } from "../usage.ts";
import { type AddressSettings, ClientAddresses } from "./client-addresses.ts";
import { LogFile } from "./log-file.ts";
import { LogOutput, type OpenLog } from "./log-output.ts";

/** Lines about connections that were given up. */
const LINES_PER_SECOND = 5;

export interface AccessLogSettings extends AddressSettings {
  /** `-`: stdout; null: none. */
  readonly path: string | null;
  readonly format: AccessFormat;
}

/** Opens files for lines. It throws CliError; failures to write go to `log`. */
export function logFiles(log: Log): OpenLog {
  const now = () => performance.now() * 1e6;
  const failed = limitLog((message) => log("error", "access-log", message), now, 1);
  return (path) => {
    try {
      return path === null ? null : new LogFile(path, failed);
    } catch (error) {
      throw new CliError(`access-log: ${(error as Error).message}`);
    }
  };
}

export class AccessLog {
  readonly counters: RequestCounters;
  #settings: AccessLogSettings;
  #addresses: ClientAddresses;
  readonly #output: LogOutput;
  readonly #cut: (message: string) => void;

  /** Opens the log. Throws as `open` does. */
  constructor(settings: AccessLogSettings, counters: RequestCounters, log: Log, open: OpenLog) {
    this.#settings = settings;
    this.counters = counters;
    this.#addresses = new ClientAddresses(settings);
    const now = () => performance.now() * 1e6;
    this.#cut = limitLog((message) => log("warn", "http", message), now, LINES_PER_SECOND);
    this.#output = new LogOutput(open, settings.path);
  }

  /** Entries that came to no line. */
  get dropped(): number {
    return this.counters.lost + this.#output.dropped;
  }

  /** For a machine whose clients have these addresses. */
  sink(addressOf: (connection: LoggedConnection) => string): AccessSink {
    return new Requests(this.counters, {
      date: Date.now,
      addressOf,
      isWanted: () => this.#output.isOpen,
      entry: this.#entry,
      cut: (connection, reason) => {
        // Idle connections end by the hundred, and nobody minds.
        if (reason === AccessReason.Idle) return;
        const address = this.#addresses.shown(addressOf(connection), "");
        this.#cut(`cut ${address === "" ? "a client" : address}: ${reasonName(reason)}`);
      },
    });
  }

  /**
   * Opens the file of other settings, or that of these again. Returns what makes it the log, or
   * gives it back. Throws if it cannot be opened.
   */
  change(settings: AccessLogSettings): { commit(): void; cancel(): void } {
    const opened = this.#output.change(settings.path);
    const commit = () => {
      opened.commit();
      this.#settings = settings;
      this.#addresses = new ClientAddresses(settings);
    };
    return { commit, cancel: opened.cancel };
  }

  /** Resolves when all lines so far have been written or dropped. */
  flushed(): Promise<void> {
    return this.#output.flushed();
  }

  readonly #entry = (entry: Entry): void => {
    if (!this.#output.isOpen) return;
    const forwarded = this.#addresses.areForwarded ? forwardedOf(entry) : "";
    const address = this.#addresses.shown(entry.address, forwarded);
    const room = this.#output.room(lineBytesMax(entry, address));
    if (room !== null) putLine(room, this.#settings.format, entry, address);
  };
}
