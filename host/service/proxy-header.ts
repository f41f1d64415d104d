// The header that a proxy sends before anything of its client (PROXY protocol, versions 1 and 2):
// the client's address. Nothing here trusts that it is one.

const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a];
const WORD = [...new TextEncoder().encode("PROXY ")];
const FIXED_BYTES = 16;
/** Of version 2, with the longest addresses and some extensions. */
const BYTES_MAX = 536;
/** Of version 1, with its line end. */
const LINE_BYTES_MAX = 107;

const LOCAL = 0x20;
const PROXY = 0x21;
const UNSPECIFIED = 0x00;
const TCP4 = 0x11;
const TCP6 = 0x21;
const UNIX_STREAM = 0x31;
const TCP4_BYTES = 12;
const TCP6_BYTES = 36;
const UNIX_BYTES = 216;

export interface ProxyHeader {
  readonly bytes: number;
  /** null: the proxy speaks for itself, or says nothing of its client. */
  readonly address: string | null;
}

/** Parses what has come so far. "incomplete": it may become a header; "invalid": it never will. */
export function parseProxyHeader(bytes: Uint8Array): ProxyHeader | "incomplete" | "invalid" {
  if (begins(bytes, SIGNATURE)) return parseBinary(bytes);
  return begins(bytes, WORD) ? parseLine(bytes) : "invalid";
}

/** Do the bytes agree with the pattern, as far as they have come? */
function begins(bytes: Uint8Array, pattern: readonly number[]): boolean {
  return pattern.every((byte, i) => i >= bytes.length || bytes[i] === byte);
}

function parseBinary(bytes: Uint8Array): ProxyHeader | "incomplete" | "invalid" {
  if (bytes.length < FIXED_BYTES) return "incomplete";
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const command = view.getUint8(12);
  const family = view.getUint8(13);
  const length = view.getUint16(14);
  const whole = FIXED_BYTES + length;
  if (whole > BYTES_MAX || (command !== LOCAL && command !== PROXY)) return "invalid";
  if (bytes.length < whole) return "incomplete";
  if (command === LOCAL) return { bytes: whole, address: null };
  const least: Readonly<Record<number, number>> = {
    [UNSPECIFIED]: 0,
    [TCP4]: TCP4_BYTES,
    [TCP6]: TCP6_BYTES,
    [UNIX_STREAM]: UNIX_BYTES,
  };
  if (length < (least[family] ?? Number.POSITIVE_INFINITY)) return "invalid";
  if (family === TCP4) {
    return { bytes: whole, address: bytes.subarray(FIXED_BYTES, FIXED_BYTES + 4).join(".") };
  }
  if (family !== TCP6) return { bytes: whole, address: null };
  const groups = Array.from({ length: 8 }, (_, i) => view.getUint16(FIXED_BYTES + 2 * i));
  return { bytes: whole, address: groups.map((group) => group.toString(16)).join(":") };
}

const ADDRESS4 = String.raw`(?:\d{1,3}\.){3}\d{1,3}`;
const ADDRESS6 = "[0-9A-Fa-f:.]{2,45}";
const LINE = new RegExp(
  `^PROXY (?:UNKNOWN(?: [ -~]*)?|TCP4 (${ADDRESS4}) ${ADDRESS4} \\d{1,5} \\d{1,5}|` +
    `TCP6 (${ADDRESS6}) ${ADDRESS6} \\d{1,5} \\d{1,5})$`,
);

function parseLine(bytes: Uint8Array): ProxyHeader | "incomplete" | "invalid" {
  const end = bytes.indexOf(0x0a);
  const length = end < 0 ? bytes.length : end + 1;
  if (length > LINE_BYTES_MAX || (end < 0 && length === LINE_BYTES_MAX)) return "invalid";
  if (end < 0) return "incomplete";
  if (bytes[end - 1] !== 0x0d) return "invalid";
  const found = LINE.exec(String.fromCharCode(...bytes.subarray(0, end - 1)));
  if (found === null) return "invalid";
  const [, four, six] = found;
  if (four?.split(".").some((part) => Number(part) > 255)) return "invalid";
  return { bytes: end + 1, address: four ?? six ?? null };
}
