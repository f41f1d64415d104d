// The head of a response: its status line and fields (RFC 9112, 4 and 5), and how they frame the
// body (6.3). The guest is not trusted: a line that allows two readings is an error.
import { malformed } from "./fetch-error.ts";

/** How the end of a body is found. */
export const enum Framing {
  None, // there is no body
  Length, // Content-Length
  Chunked, // Transfer-Encoding: chunked
  Close, // the end of the connection
}

export interface ResponseHead {
  readonly status: number;
  readonly statusText: string;
  readonly fields: [string, string][];
  readonly framing: Framing;
  /** Of the body; 0 unless framing is Length. */
  readonly length: number;
  /** May another request follow on the connection (9.3)? */
  readonly persists: boolean;
}

const STATUS_LINE = /^HTTP\/1\.([01]) ([1-5]\d\d)(?: (.*))?$/;
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/;
const DIGITS = /^\d{1,15}$/;
/** Those that no field may have (RFC 9110, 5.5). */
const CONTROLS = /[\0\r\n]/;
const BLANKS = " \t";
const TEXT_SLICE = 8192;

/** Parses a head that ends in an empty line, in answer to a request of `method`. */
export function parseHead(bytes: Uint8Array, method: string): ResponseHead {
  const lines = latin1(bytes).split("\r\n");
  const [, minor, code, statusText = ""] = STATUS_LINE.exec(lines[0] as string) ?? [];
  if (code === undefined) throw malformed(`status line "${excerpt(lines[0] as string)}"`);
  const status = Number(code);
  const fields: [string, string][] = [];
  let length = -1;
  let coding = "";
  let connection = "";
  for (let i = 1; i < lines.length - 2; i++) {
    const [name, value] = parseField(lines[i] as string);
    fields.push([name, value]);
    switch (name.toLowerCase()) {
      case "content-length":
        length = lengthOf(value, length);
        break;
      case "transfer-encoding":
        coding += `,${value.toLowerCase()}`;
        break;
      case "connection":
        connection += `,${value.toLowerCase()},`;
    }
  }
  if (coding !== "" && coding !== ",chunked") throw malformed(`coding "${coding.slice(1)}"`);
  if (coding !== "" && length >= 0) throw malformed("a length and a coding");
  const hasBody = method !== "HEAD" && status >= 200 && status !== 204 && status !== 304;
  let framing = Framing.None;
  if (hasBody && coding !== "") framing = Framing.Chunked;
  else if (hasBody && length !== 0) framing = length < 0 ? Framing.Close : Framing.Length;
  const persists = minor === "1" ? !lists(connection, "close") : lists(connection, "keep-alive");
  return {
    status,
    statusText,
    fields,
    framing,
    length: framing === Framing.Length ? length : 0,
    persists: persists && framing !== Framing.Close,
  };
}

/** Name and value of a field line, which has no line end. */
export function parseField(line: string): [string, string] {
  const colon = line.indexOf(":");
  const name = line.slice(0, Math.max(colon, 0));
  if (!TOKEN.test(name) || CONTROLS.test(line)) throw malformed(`field "${excerpt(line)}"`);
  return [name, trimBlanks(line, colon + 1)];
}

/** Without spaces and tabs at both ends; unlike trim(), which would hide a bare CR or LF. */
function trimBlanks(line: string, from: number): string {
  let start = from;
  let end = line.length;
  while (start < end && BLANKS.includes(line[start] as string)) start++;
  while (start < end && BLANKS.includes(line[end - 1] as string)) end--;
  return line.slice(start, end);
}

/** A Content-Length; equal ones may be repeated, also in one field (RFC 9112, 6.3). */
function lengthOf(value: string, known: number): number {
  for (const one of value.split(",")) {
    const length = DIGITS.test(one.trim()) ? Number(one) : -1;
    if (length < 0 || (known >= 0 && known !== length)) {
      throw malformed(`Content-Length "${excerpt(value)}"`);
    }
    known = length;
  }
  return known;
}

function lists(options: string, option: string): boolean {
  return options.split(",").some((one) => one.trim() === option);
}

/** One character for each byte, as fetch has it. */
export function latin1(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += TEXT_SLICE) {
    text += String.fromCharCode.apply(
      null,
      bytes.subarray(at, at + TEXT_SLICE) as unknown as number[],
    );
  }
  return text;
}

function excerpt(line: string): string {
  return line.length > 60 ? `${line.slice(0, 60)}...` : line;
}
