// Lines of the access log. Nothing that a client sends can end a line or a quotation.
import { AccessReason } from "../../abi/access-log.ts";
import {
  ESCAPED_BYTES_MAX,
  type Escapes,
  type Fixed,
  fixed,
  JSON_STRING,
  type LineBuffer,
  QUOTED,
} from "./line-buffer.ts";
import type { Entry } from "./requests.ts";

/** Combined log format, as web servers write it, or an object a line. */
export type AccessFormat = "combined" | "json";

const REASONS: readonly string[] = [
  ...["", "gone", "slow", "memory", "file", "head", "idle", "protocol"],
];
const REASON_BYTES = REASONS.map(fixed);

/** "": none. */
export function reasonName(reason: AccessReason): string {
  return REASONS[reason] ?? "";
}

/** Texts of an entry, by their places in it. */
const enum Text {
  Method = 0,
  Target = 1,
  Referer = 2,
  Agent = 3,
  Authority = 4,
  Id = 5,
  Forwarded = 6,
}

/** The addresses that the request was forwarded for, as its proxies say. */
export function forwardedOf({ lengths, places, view }: Entry): string {
  const at = places[Text.Forwarded] as number;
  let text = "";
  for (let i = 0; i < (lengths[Text.Forwarded] as number); i++) {
    text += String.fromCharCode(view.getUint8(at + i));
  }
  return text;
}

/** All of a line but for texts: names, numbers, what separates them, and the buffer's slack. */
const FIXED_BYTES_MAX = 512;

/** Bytes that the line of an entry takes at most; below LINES_BYTES. */
export function lineBytesMax({ lengths }: Entry, address: string): number {
  let bytes = address.length;
  for (let i = 0; i < lengths.length; i++) bytes += lengths[i] as number;
  return FIXED_BYTES_MAX + ESCAPED_BYTES_MAX * bytes;
}

/** Puts a line, with its end, where there is room for it. `address` is the client's. */
export function putLine(
  into: LineBuffer,
  format: AccessFormat,
  entry: Entry,
  address: string,
): void {
  if (format === "json") putJson(into, entry, address);
  else putCombined(into, entry, address);
}

const DASH = fixed("-");
const NOBODY = fixed(" - - [");
const QUOTED_AFTER_DATE = fixed('] "');
const SPACE = fixed(" ");
const VERSION = fixed(" HTTP/1.");
const AFTER_REQUEST = fixed('" ');
const BEFORE_QUOTED = fixed(' "');
const BETWEEN_QUOTED = fixed('" "');
const END = fixed('"\n');

function putCombined(into: LineBuffer, entry: Entry, address: string): void {
  if (address === "") into.put(DASH);
  else into.escapedText(address, QUOTED);
  into.put(NOBODY);
  into.put(dateOf(entry.dateMs).clf);
  into.put(QUOTED_AFTER_DATE);
  if (entry.lengths[Text.Method] === 0) {
    into.put(DASH);
  } else {
    putText(into, entry, Text.Method, QUOTED);
    into.put(SPACE);
    putText(into, entry, Text.Target, QUOTED);
    into.put(VERSION);
    into.number(entry.minor);
  }
  into.put(AFTER_REQUEST);
  into.number(entry.status);
  into.put(SPACE);
  into.number(entry.bodyBytes);
  into.put(BEFORE_QUOTED);
  putOrDash(into, entry, Text.Referer);
  into.put(BETWEEN_QUOTED);
  putOrDash(into, entry, Text.Agent);
  into.put(END);
}

function putText(into: LineBuffer, entry: Entry, which: Text, how: Escapes): void {
  const { view, places, lengths } = entry;
  into.escaped(view, places[which] as number, lengths[which] as number, how);
}

function putOrDash(into: LineBuffer, entry: Entry, which: Text): void {
  if (entry.lengths[which] === 0) into.put(DASH);
  else putText(into, entry, which, QUOTED);
}

const JSON_TS = fixed('{"ts":"');
const JSON_REMOTE = fixed('Z","remote":"');
const JSON_METHOD = fixed('","method":"');
const JSON_PATH = fixed('","path":"');
const JSON_PROTO = fixed('","proto":"HTTP/1.');
const JSON_STATUS = fixed('","status":');
const JSON_BYTES = fixed(',"bytes":');
const JSON_DURATION = fixed(',"duration_ms":');
const JSON_FIRST = fixed(',"ttfb_ms":');
const JSON_REFERER = fixed(',"referer":"');
const JSON_AGENT = fixed('","agent":"');
const JSON_HOST = fixed('","host":"');
const JSON_ID = fixed('","request_id":"');
const JSON_CONN = fixed('","conn":');
const JSON_REUSED = fixed(',"reused":true,"aborted":"');
const JSON_FRESH = fixed(',"reused":false,"aborted":"');
const JSON_END = fixed('"}\n');

function putJson(into: LineBuffer, entry: Entry, address: string): void {
  into.put(JSON_TS);
  into.put(dateOf(entry.dateMs).iso);
  into.digits(millisecondOf(entry.dateMs), 3);
  into.put(JSON_REMOTE);
  into.escapedText(address, JSON_STRING);
  into.put(JSON_METHOD);
  putText(into, entry, Text.Method, JSON_STRING);
  into.put(JSON_PATH);
  putText(into, entry, Text.Target, JSON_STRING);
  into.put(JSON_PROTO);
  into.number(entry.minor);
  into.put(JSON_STATUS);
  into.number(entry.status);
  into.put(JSON_BYTES);
  into.number(entry.bodyBytes);
  into.put(JSON_DURATION);
  into.decimal(entry.durationMs);
  into.put(JSON_FIRST);
  into.decimal(entry.firstMs);
  into.put(JSON_REFERER);
  putText(into, entry, Text.Referer, JSON_STRING);
  into.put(JSON_AGENT);
  putText(into, entry, Text.Agent, JSON_STRING);
  into.put(JSON_HOST);
  putText(into, entry, Text.Authority, JSON_STRING);
  into.put(JSON_ID);
  putText(into, entry, Text.Id, JSON_STRING);
  into.put(JSON_CONN);
  into.number(entry.connection);
  into.put(entry.count > 1 ? JSON_REUSED : JSON_FRESH);
  into.put(REASON_BYTES[entry.reason] ?? (REASON_BYTES[AccessReason.None] as Fixed));
  into.put(JSON_END);
}

/** A second, in both forms. */
interface WrittenSecond {
  /** As in 27/Nov/2026:02:00:00 +0000. */
  readonly clf: Fixed;
  /** As in 2026-11-27T02:00:00. with the point. */
  readonly iso: Fixed;
}

const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");
/** Outside of them the date of a Date is not valid, or has more digits of the year. */
const DATE_MS_MAX = 253402300799999;
let lastSecond = Number.NaN;
let lastWritten: WrittenSecond = { clf: DASH, iso: DASH };

const bounded = (dateMs: number): number =>
  dateMs >= 0 ? Math.floor(Math.min(dateMs, DATE_MS_MAX)) : 0;

const millisecondOf = (dateMs: number): number => bounded(dateMs) % 1000;

/** Most lines are of the second of the one before. */
function dateOf(dateMs: number): WrittenSecond {
  const second = Math.floor(bounded(dateMs) / 1000);
  if (second === lastSecond) return lastWritten;
  const date = new Date(second * 1000);
  const iso = date.toISOString();
  const day = `${iso.slice(8, 10)}/${MONTHS[date.getUTCMonth()]}/${iso.slice(0, 4)}`;
  const clf = fixed(`${day}:${iso.slice(11, 19)} +0000`);
  lastWritten = { clf, iso: fixed(iso.slice(0, 20)) };
  lastSecond = second;
  return lastWritten;
}
