// The options of `--pcap` and `--trace`.
import type { CaptureSettings, TraceSettings } from "../recording.ts";
import { CliError } from "../usage.ts";
import { GUEST_PORT_MAX, parseInteger, parseSize, parseWord } from "../values.ts";
import type { HostOptionName } from "./options.ts";
import type { Values } from "./values.ts";

const FORMATS = ["vsock", "tcp"] as const;
/** Headers of both forms fit in, and everybody's "all". */
const SNAPLEN_MIN = 64;
const SNAPLEN_MAX = 262_144;
const SIZE_MIN = 64 * 1024;
const FILES_MAX = 99_999;
/** They say how to capture, and nothing without `--pcap`. */
const DETAILS: readonly HostOptionName[] = [
  ...(["pcap-format", "pcap-snaplen", "pcap-port", "pcap-size", "pcap-files"] as const),
];

/** null: there is no trace. Throws CliError. */
export function traceOf(values: Values): TraceSettings | null {
  const path = values.one("trace");
  const names = values.isOn("trace-names");
  if (path === null && names) throw new CliError("--trace-names needs --trace FILE");
  return path === null ? null : { path, names };
}

/** null: nothing is captured. Throws CliError. */
export function captureOf(values: Values): CaptureSettings | null {
  const path = values.one("pcap");
  const idle = DETAILS.find((name) => values.has(name));
  if (path === null) {
    if (idle !== undefined) throw new CliError(`${values.label(idle)} needs --pcap FILE`);
    return null;
  }
  const number = (name: HostOptionName, least: number, most: number) => {
    const word = values.one(name);
    return word === null ? null : parseInteger(values.label(name), word, least, most);
  };
  const size = values.one("pcap-size");
  const bytesMax = size === null ? null : parseSize(values.label("pcap-size"), size, SIZE_MIN);
  const filesMax = number("pcap-files", 1, FILES_MAX);
  if (bytesMax === null && filesMax !== null) throw new CliError("--pcap-files needs --pcap-size");
  if (bytesMax !== null && path === "-") throw new CliError("--pcap-size: stdout is no file");
  if (path === "-" && values.one("access-log") === "-") {
    throw new CliError("--pcap and --access-log cannot share stdout");
  }
  return {
    path,
    format: parseWord(values.label("pcap-format"), values.one("pcap-format") ?? "", FORMATS),
    snaplen: number("pcap-snaplen", SNAPLEN_MIN, SNAPLEN_MAX) ?? SNAPLEN_MAX,
    port: number("pcap-port", 1, GUEST_PORT_MAX),
    rotation: bytesMax === null ? null : { bytesMax, filesMax },
  };
}
