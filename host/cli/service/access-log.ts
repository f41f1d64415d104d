// The access log of a service: its file, the addresses in it, and what is said of connections that
// were given up.
import { BlockList, isIP } from "node:net";
import { AccessReason } from "../../../abi/access-log.ts";
import type { AccessSink, LoggedConnection } from "../../access-log.ts";
import { type Log, limitLog } from "../../log.ts";
import { type AccessFormat, accessLine, reasonName, textsOf } from "../../service/access-line.ts";
import { type Entry, type RequestCounters, Requests } from "../../service/requests.ts";
import { CliError } from "../usage.ts";
import { LogFile } from "./log-file.ts";
import { LogOutput, type OpenLog } from "./log-output.ts";

/** Lines about connections that were given up. */
const LINES_PER_SECOND = 5;

export interface AccessLogSettings {
  /** `-`: stdout; null: none. */
  readonly path: string | null;
  readonly format: AccessFormat;
  /** Are addresses shortened, so that they name nobody? */
  readonly anonymize: boolean;
  /** Whose X-Forwarded-For is believed: addresses and subnets. */
  readonly proxies: readonly string[];
}

/** A set of addresses. Throws an Error that says which of them is none. */
export function addressSet(list: readonly string[]): BlockList {
  const set = new BlockList();
  for (const one of list) {
    const [address = "", bits] = one.split("/");
    const version = isIP(address);
    const prefix = bits === undefined ? (version === 4 ? 32 : 128) : Number(bits);
    if (version === 0 || !/^\d+$/.test(`${prefix}`) || prefix > (version === 4 ? 32 : 128)) {
      throw new Error(`"${one}" is not an address or a subnet as in 10.0.0.0/8`);
    }
    set.addSubnet(address, prefix, version === 4 ? "ipv4" : "ipv6");
  }
  return set;
}

export const hasAddress = (set: BlockList, address: string): boolean =>
  isIP(address) !== 0 && set.check(address, isIP(address) === 4 ? "ipv4" : "ipv6");

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
  #proxies: BlockList;
  readonly #output: LogOutput;
  readonly #cut: (message: string) => void;

  /** Opens the log. Throws as `open` does. */
  constructor(settings: AccessLogSettings, counters: RequestCounters, log: Log, open: OpenLog) {
    this.#settings = settings;
    this.counters = counters;
    this.#proxies = addressSet(settings.proxies);
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
      addressOf: (connection) => plainAddress(addressOf(connection)),
      entry: this.#output.isOpen ? this.#entry : null,
      cut: (connection, reason) => {
        // Idle connections end by the hundred, and nobody minds.
        if (reason === AccessReason.Idle) return;
        const address = this.#shown(plainAddress(addressOf(connection)));
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
      this.#proxies = addressSet(settings.proxies);
    };
    return { commit, cancel: opened.cancel };
  }

  /** Resolves when all lines so far have been written or dropped. */
  flushed(): Promise<void> {
    return this.#output.flushed();
  }

  readonly #entry = (entry: Entry): void => {
    this.#output.add(() =>
      accessLine(this.#settings.format, entry, this.#shown(this.#clientOf(entry))),
    );
  };

  /** The last address that no proxy of ours has, if one of ours has brought the request. */
  #clientOf(entry: Entry): string {
    if (this.#settings.proxies.length === 0) return entry.address;
    if (!hasAddress(this.#proxies, entry.address)) return entry.address;
    const forwarded = textsOf(entry).forwarded.split(",");
    const client = forwarded
      .map((one) => plainAddress(one.trim()))
      .findLast((one) => !hasAddress(this.#proxies, one));
    return client !== undefined && isIP(client) !== 0 ? client : entry.address;
  }

  #shown(address: string): string {
    return this.#settings.anonymize ? anonymous(address) : address;
  }
}

/** An IPv4 address as such. */
export function plainAddress(address: string): string {
  return address.startsWith("::ffff:") && address.includes(".") ? address.slice(7) : address;
}

/** Without the last octet; of IPv6 only the first 48 bits. */
export function anonymous(address: string): string {
  if (isIP(address) === 4) return address.replace(/\d+$/, "0");
  if (isIP(address) !== 6) return address;
  const [head = "", tail] = address.split("::");
  const first = head.split(":").filter((group) => group !== "");
  const zeros = tail === undefined ? [] : new Array(8).fill("0");
  return `${[...first, ...zeros].slice(0, 3).join(":")}::`;
}
