// Content codings (RFC 9110, 12.5.3): which of those that a file has does a client want? Leaves.
import { Span, spanAddress, spanBytes, text } from "torito/kernel/api";
import { skip, skipBlanks, TOKEN, trimBlanks } from "torito/guest/http/characters";
import { nextValue } from "torito/guest/http/fields";
import { Field, RequestHead } from "torito/guest/http/request-head";
import { isText } from "torito/guest/http/text";

/** Content codings, in the server's order. Masks; several may be at hand. */
export const enum Coding {
  Identity = 0,
  Br = 1,
  Zstd = 2,
  Gzip = 4,
}

/** Weights of the codings that a request names, in thousandths. */
const UNNAMED: i32 = -1;
let br: i32 = UNNAMED;
let zstd: i32 = UNNAMED;
let gzip: i32 = UNNAMED;
let identity: i32 = UNNAMED;
let others: i32 = UNNAMED; // `*`

/** The name of a coding as it ends a file's name. */
export function suffixOf(coding: Coding): Span {
  if (coding == Coding.Br) return text(".br");
  return coding == Coding.Zstd ? text(".zst") : text(".gz");
}

/** The name of a coding on the wire. */
export function nameOf(coding: Coding): Span {
  if (coding == Coding.Br) return text("br");
  return coding == Coding.Zstd ? text("zstd") : text("gzip");
}

/** SI2: of the codings in the mask `available` the one to send: by weight, then by our order. */
export function chooseCoding(request: RequestHead, available: u32): Coding {
  br = zstd = gzip = identity = others = UNNAMED;
  let value = request.value(Field.AcceptEncoding);
  if (value == 0) return Coding.Identity;
  while (value != 0) {
    readList(spanAddress(value), spanAddress(value) + spanBytes(value));
    value = nextValue(request, Field.AcceptEncoding, text("accept-encoding"), value);
  }
  let best = Coding.Identity;
  // Where it is not named it is the last choice; that nobody else is acceptable helps nobody (406).
  let weight = identity > 0 ? identity : 1;
  const forGzip = weightOf(gzip);
  const forZstd = weightOf(zstd);
  const forBr = weightOf(br);
  if ((available & Coding.Gzip) != 0 && forGzip >= weight) {
    best = Coding.Gzip;
    weight = forGzip;
  }
  if ((available & Coding.Zstd) != 0 && forZstd >= weight) {
    best = Coding.Zstd;
    weight = forZstd;
  }
  return (available & Coding.Br) != 0 && forBr >= weight ? Coding.Br : best;
}

function weightOf(named: i32): i32 {
  return named == UNNAMED ? others : named;
}

/** `coding [;q=weight]`, separated by commas. */
function readList(p: usize, end: usize): void {
  while (p < end) {
    const start = p;
    while (p < end && load<u8>(p) != 0x2c) p++;
    readItem(start, p);
    p++;
  }
}

function readItem(start: usize, end: usize): void {
  start = skipBlanks(start, end);
  const p = skip(start, end, TOKEN);
  const bytes = <u32>(p - start);
  const weight = readWeight(p, end);
  if (isText(start, bytes, text("br"))) br = weight;
  else if (isText(start, bytes, text("zstd"))) zstd = weight;
  else if (isText(start, bytes, text("gzip"))) gzip = weight;
  else if (isText(start, bytes, text("x-gzip"))) gzip = weight; // RFC 9110, 8.4.1.3
  else if (isText(start, bytes, text("identity"))) identity = weight;
  else if (isText(start, bytes, text("*"))) others = weight;
}

/**
 * The weight in [p, end): nothing, or `;q=` and a number from 0 to 1 with up to three decimals (RFC
 * 9110, 12.4.2), in thousandths. 0 if it is anything else: a coding that is not understood to be
 * wanted is not sent.
 */
export function readWeight(p: usize, end: usize): i32 {
  end = trimBlanks(p, end);
  p = skipBlanks(p, end);
  if (p == end) return 1000;
  if (load<u8>(p) != 0x3b) return 0;
  p = skipBlanks(p + 1, end);
  if (end - p < 3 || (load<u8>(p) | 0x20) != 0x71 || load<u8>(p, 1) != 0x3d) return 0;
  const whole = <u32>load<u8>(p, 2) - 0x30;
  if (whole > 1 || end - p > 7 || (end - p > 3 && load<u8>(p, 3) != 0x2e)) return 0;
  let weight = <i32>whole * 1000;
  let unit: i32 = 100;
  for (p += 4; p < end; p++) {
    const digit = <u32>load<u8>(p) - 0x30;
    if (digit > 9) return 0;
    weight += <i32>digit * unit;
    unit /= 10;
  }
  return weight > 1000 ? 0 : weight;
}
