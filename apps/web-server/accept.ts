// Does a client want a page (RFC 9110, 12.5.1)? A leaf.
import { spanAddress, spanBytes, text } from "torito/kernel/api";
import { skipBlanks } from "torito/guest/http/characters";
import { nextValue } from "torito/guest/http/fields";
import { Field, RequestHead } from "torito/guest/http/request-head";
import { isText } from "torito/guest/http/text";
import { readWeight } from "./coding";

/** Of the media ranges that text/html is in, the narrowest one decides. */
let narrowest: u32 = 0; // 1: any type, 2: any text, 3: text/html
let admits = false;

/** Does the request accept text/html? One without Accept does. */
export function acceptsHtml(request: RequestHead): bool {
  let value = request.value(Field.Accept);
  if (value == 0) return true;
  narrowest = 0;
  admits = false;
  while (value != 0) {
    readRanges(spanAddress(value), spanAddress(value) + spanBytes(value));
    value = nextValue(request, Field.Accept, text("accept"), value);
  }
  return admits;
}

function readRanges(p: usize, end: usize): void {
  while (p < end) {
    const start = skipBlanks(p, end);
    while (p < end && load<u8>(p) != 0x2c) p++;
    readRange(start, p);
    p++;
  }
}

function readRange(start: usize, end: usize): void {
  let p = start;
  while (p < end && load<u8>(p) != 0x3b && load<u8>(p) != 0x20) p++;
  const width = widthOf(start, <u32>(p - start));
  if (width < narrowest || width == 0) return;
  // The weight is the last parameter.
  let weight = end;
  while (weight > p && load<u8>(weight - 1) != 0x3b) weight--;
  const isWeight = weight > p && isQ(weight, end);
  narrowest = width;
  admits = !isWeight || readWeight(weight - 1, end) > 0;
}

function widthOf(at: usize, length: u32): u32 {
  if (isText(at, length, text("text/html"))) return 3;
  if (isText(at, length, text("text/*"))) return 2;
  return isText(at, length, text("*/*")) ? 1 : 0;
}

function isQ(p: usize, end: usize): bool {
  p = skipBlanks(p, end);
  return end - p > 1 && (load<u8>(p) | 0x20) == 0x71 && load<u8>(p, 1) == 0x3d;
}
