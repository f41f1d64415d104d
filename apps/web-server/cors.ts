// SI10: which scripts of other sites may read this one (Fetch, 3.2). Leaves.
import { Span, spanAddress, spanBytes, text } from "torito/kernel/api";
import { SiteFlag, SiteList, SiteTable, SiteText } from "torito/abi/site";
import { isIn, TOKEN } from "torito/guest/http/characters";
import { findField } from "torito/guest/http/fields";
import { Field, Method, RequestHead } from "torito/guest/http/request-head";
import { putEnd, putStart } from "torito/guest/http/response";
import { isSame, putBytes, putText } from "torito/guest/http/text";
import { Site, textAt } from "./rules/site";

/** Longer lists of headers are not allowed to be asked for. */
const HEADERS_BYTES_MAX: u32 = 1024;

/** Is reading allowed to some of them, or to all? */
export function hasCors(site: Site): bool {
  return site.has(SiteFlag.ANY_ORIGIN) || originCount(site) != 0;
}

function originCount(site: Site): u32 {
  return load<u32>(site.table, SiteTable.origins + SiteList.count);
}

/** With a list of origins: the one that asks, if it is one of them, and that it matters. */
export function putAllowOrigin(at: usize, site: Site, request: RequestHead): usize {
  if (originCount(site) == 0) return at;
  const origin = request.value(Field.Origin);
  if (isAllowed(site, origin)) {
    at = putText(at, text("Access-Control-Allow-Origin: "));
    at = putBytes(at, spanAddress(origin), spanBytes(origin));
    at = putText(at, text("\r\n"));
  }
  return putText(at, text("Vary: Origin\r\n"));
}

function isAllowed(site: Site, origin: Span): bool {
  if (origin == 0) return false;
  const list = site.table + load<u32>(site.table, SiteTable.origins + SiteList.at);
  for (let i: u32 = 0; i < originCount(site); i++) {
    const one = textAt(site, list + i * SiteText.sizeof);
    const length = spanBytes(origin);
    if (isSame(spanAddress(origin), length, spanAddress(one), spanBytes(one))) return true;
  }
  return false;
}

/** Is it the question whether another request may be made, before that is made? */
export function isPreflight(request: RequestHead): bool {
  return (
    request.method == Method.OPTIONS &&
    request.value(Field.Origin) != 0 &&
    findField(request, ASKED_METHOD) != 0
  );
}

const ASKED_METHOD = text("access-control-request-method");
const ASKED_HEADERS = text("access-control-request-headers");

/** Answers a preflight. Returns the address after the head. */
export function putPreflight(at: usize, site: Site, request: RequestHead, keepAlive: bool): usize {
  at = putStart(at, 204);
  at = putText(at, text("Vary: Access-Control-Request-Headers\r\n"));
  const open = site.has(SiteFlag.ANY_ORIGIN);
  if (open) at = putText(at, text("Access-Control-Allow-Origin: *\r\n"));
  else at = putAllowOrigin(at, site, request);
  if (open || isAllowed(site, request.value(Field.Origin))) {
    at = putText(at, text("Access-Control-Allow-Methods: GET, HEAD\r\n"));
    at = putText(at, text("Access-Control-Max-Age: 86400\r\n"));
    const asked = findField(request, ASKED_HEADERS);
    if (asked != 0 && areTokens(asked)) {
      at = putText(at, text("Access-Control-Allow-Headers: "));
      at = putBytes(at, spanAddress(asked), spanBytes(asked));
      at = putText(at, text("\r\n"));
    }
  }
  return putEnd(at, keepAlive);
}

/** Is it a list of names? Nothing else is sent back. */
function areTokens(list: Span): bool {
  const length = spanBytes(list);
  if (length == 0 || length > HEADERS_BYTES_MAX) return false;
  for (let i: u32 = 0; i < length; i++) {
    const c: u32 = load<u8>(spanAddress(list) + i);
    if (!isIn(c, TOKEN) && c != 0x2c && c != 0x20) return false;
  }
  return true;
}
