// Lines of the access log. Nothing that a client sends can end a line or a quotation.
import type { AccessReason } from "../../abi/access-log.ts";
import type { Entry } from "./requests.ts";

/** Combined log format, as web servers write it, or an object a line. */
export type AccessFormat = "combined" | "json";

const REASONS: readonly string[] = [
  ...["", "gone", "slow", "memory", "file", "head", "idle", "protocol"],
];

/** "": none. */
export function reasonName(reason: AccessReason): string {
  return REASONS[reason] ?? "";
}

/** The texts of an entry. Each byte is a character. */
export interface Texts {
  readonly method: string;
  readonly target: string;
  readonly referer: string;
  readonly agent: string;
  readonly authority: string;
  readonly id: string;
  readonly forwarded: string;
}

const decoder = new TextDecoder("latin1");

/** Latin-1 has a character for every byte; TextDecoder's has some others for 80 to 9F. */
function textOf(bytes: Uint8Array): string {
  for (const byte of bytes) if (byte >= 0x80) return String.fromCharCode(...bytes);
  return decoder.decode(bytes);
}

export function textsOf({ lengths, texts }: Entry): Texts {
  let at = 0;
  const next = (i: number): string => {
    const length = lengths[i] ?? 0;
    at += length;
    return length === 0 ? "" : textOf(texts.subarray(at - length, at));
  };
  return {
    method: next(0),
    target: next(1),
    referer: next(2),
    agent: next(3),
    authority: next(4),
    id: next(5),
    forwarded: next(6),
  };
}

/** A line, with its end. `address` is the client's. */
export function accessLine(format: AccessFormat, entry: Entry, address: string): string {
  const texts = textsOf(entry);
  return format === "json" ? jsonLine(entry, texts, address) : combinedLine(entry, texts, address);
}

function combinedLine(entry: Entry, texts: Texts, address: string): string {
  const { dateMs, status, bodyBytes, minor } = entry;
  const { method, target, referer, agent } = texts;
  const request = method === "" ? "-" : `${quoted(method)} ${quoted(target)} HTTP/1.${minor}`;
  const client = address === "" ? "-" : address;
  const head = `${client} - - [${clfDate(dateMs)}] "${request}" ${status} ${bodyBytes}`;
  return `${head} "${quoted(referer) || "-"}" "${quoted(agent) || "-"}"\n`;
}

function jsonLine(entry: Entry, texts: Texts, address: string): string {
  const { dateMs, status, bodyBytes, minor, connection, count, reason } = entry;
  const { method, target, referer, agent, authority, id } = texts;
  const line = {
    ts: new Date(dateMs).toISOString(),
    remote: address,
    method,
    path: target,
    proto: `HTTP/1.${minor}`,
    status,
    bytes: bodyBytes,
    duration_ms: rounded(entry.durationMs),
    ttfb_ms: rounded(entry.firstMs),
    referer,
    agent,
    host: authority,
    request_id: id,
    conn: connection,
    reused: count > 1,
    aborted: reasonName(reason),
  };
  return `${JSON.stringify(line).replace(/[\u007f-\u009f\u2028\u2029]/g, escaped)}\n`;
}

/** JSON leaves some characters as they are that a terminal would obey. */
function escaped(character: string): string {
  return `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

const rounded = (ms: number): number => Math.round(ms * 1000) / 1000;

/** As nginx does. */
function quoted(text: string): string {
  return text.replace(/[^ !#-[\]-~]/g, (character) => {
    const code = character.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0");
    return `\\x${code}`;
  });
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
let clfSecond = Number.NaN;
let clfText = "";

/** As in 27/Nov/2026:02:00:00 +0000. Most lines are of the second of the one before. */
function clfDate(dateMs: number): string {
  const second = Math.floor(dateMs / 1000);
  if (second === clfSecond) return clfText;
  const date = new Date(second * 1000);
  const two = (value: number) => `${value}`.padStart(2, "0");
  const day = `${two(date.getUTCDate())}/${MONTHS[date.getUTCMonth()]}/${date.getUTCFullYear()}`;
  clfText = `${day}:${date.toISOString().slice(11, 19)} +0000`;
  clfSecond = second;
  return clfText;
}
