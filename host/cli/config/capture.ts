// The options of `--pcap`, `--pcap-net` and `--trace`.
import type { CaptureFileSettings, CaptureSettings, TraceSettings } from "../recording.ts";
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
/** They say how to capture packets of vsock, and nothing without `--pcap`. */
const OF_PACKETS: readonly HostOptionName[] = ["pcap-format", "pcap-port"];
/** They say so of both captures. */
const OF_BOTH: readonly HostOptionName[] = ["pcap-snaplen", "pcap-size", "pcap-files"];

/** null: there is no trace. Throws CliError. */
export function traceOf(values: Values): TraceSettings | null {
  const path = values.one("trace");
  const names = values.isOn("trace-names");
  if (path === null && names) throw new CliError("--trace-names needs --trace FILE");
  if (path === "-") throw new CliError("--trace: stdout is the guest's console");
  for (const other of ["pcap", "pcap-net"] as const) {
    if (path !== null && path === values.one(other)) {
      throw new CliError(`--trace and --${other} cannot share a file`);
    }
  }
  return path === null ? null : { path, names };
}

/** null: no packets are captured. Throws CliError. */
export function captureOf(values: Values): CaptureSettings | null {
  const path = values.one("pcap");
  if (path === null) {
    assertIdle(values, OF_PACKETS, "--pcap FILE");
    if (!values.has("pcap-net")) assertIdle(values, OF_BOTH, "--pcap FILE");
    return null;
  }
  return {
    ...fileOf(values, path),
    format: parseWord(values.label("pcap-format"), values.one("pcap-format") ?? "", FORMATS),
    port: numberOf(values, "pcap-port", 1, GUEST_PORT_MAX),
  };
}

/** The same for frames of the card. */
export function netCaptureOf(values: Values): CaptureFileSettings | null {
  const path = values.one("pcap-net");
  if (path === null) return null;
  if (!values.has("net")) throw new CliError("--pcap-net needs --net");
  if (path === values.one("pcap")) {
    throw new CliError("--pcap and --pcap-net cannot share a file: packets and frames differ");
  }
  return fileOf(values, path);
}

function fileOf(values: Values, path: string): CaptureFileSettings {
  const size = values.one("pcap-size");
  const bytesMax = size === null ? null : parseSize(values.label("pcap-size"), size, SIZE_MIN, 1);
  const filesMax = numberOf(values, "pcap-files", 1, FILES_MAX);
  if (bytesMax === null && filesMax !== null) throw new CliError("--pcap-files needs --pcap-size");
  if (bytesMax !== null && path === "-") throw new CliError("--pcap-size: stdout is no file");
  if (path === "-" && values.one("access-log") === "-") {
    const option = values.one("pcap") === "-" ? "--pcap" : "--pcap-net";
    throw new CliError(`${option} and --access-log cannot share stdout`);
  }
  return {
    path,
    snaplen: numberOf(values, "pcap-snaplen", SNAPLEN_MIN, SNAPLEN_MAX) ?? SNAPLEN_MAX,
    rotation: bytesMax === null ? null : { bytesMax, filesMax },
  };
}

function assertIdle(values: Values, names: readonly HostOptionName[], needed: string): void {
  const idle = names.find((name) => values.has(name));
  if (idle !== undefined) throw new CliError(`${values.label(idle)} needs ${needed}`);
}

/** null: it is not there. */
function numberOf(
  values: Values,
  name: HostOptionName,
  least: number,
  most: number,
): number | null {
  const word = values.one(name);
  return word === null ? null : parseInteger(values.label(name), word, least, most);
}
