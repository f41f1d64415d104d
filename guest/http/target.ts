// The forms of a request target (RFC 9112, 3.2). A leaf.
import { spanAddress, text } from "../../kernel/api";
import { hostEnd, isAuthority } from "./authority";
import { Method, RequestHead } from "./request-head";
import { isText } from "./text";

const SLASH: u32 = 0x2f;
const QUESTION: u32 = 0x3f;
/** The path of a target in absolute form without one (RFC 9112, 3.2.2). */
const ROOT: usize = spanAddress(text("/"));

/** Finds path, query and authority in a target (HF9). Returns 0 or -400. */
export function parseTarget(request: RequestHead): i32 {
  const at = request.target;
  const bytes = request.targetBytes;
  request.path = at;
  request.pathBytes = bytes;
  if (request.method == Method.CONNECT) return isAuthority(at, bytes) ? 0 : -400;
  if (load<u8>(at) == SLASH) return splitPath(request, at);
  if (bytes == 1 && load<u8>(at) == 0x2a) return request.method == Method.OPTIONS ? 0 : -400;
  return parseAbsolute(request);
}

/** `http://authority/path`, or the same with https. */
function parseAbsolute(request: RequestHead): i32 {
  const at = request.target;
  const end = at + request.targetBytes;
  let scheme: u32 = 0;
  if (request.targetBytes > 7 && isText(at, 7, text("http://"))) scheme = 7;
  else if (request.targetBytes > 8 && isText(at, 8, text("https://"))) scheme = 8;
  if (scheme == 0) return -400;
  const authority = at + scheme;
  let p = authority;
  while (p < end && load<u8>(p) != SLASH && load<u8>(p) != QUESTION) p++;
  const bytes = <u32>(p - authority);
  // A URI of http without a host is invalid (RFC 9110, 4.2.1).
  if (!isAuthority(authority, bytes) || hostEnd(authority, p) == authority) return -400;
  request.authority = authority;
  request.authorityBytes = bytes;
  return splitPath(request, p);
}

/** The path that begins at `p`, and the query after it. */
function splitPath(request: RequestHead, p: usize): i32 {
  const end = request.target + request.targetBytes;
  const start = p;
  while (p < end && load<u8>(p) != QUESTION) p++;
  const isEmpty = p == start;
  request.path = isEmpty ? ROOT : start;
  request.pathBytes = isEmpty ? 1 : <u32>(p - start);
  request.query = p;
  request.queryBytes = <u32>(end - p);
  return 0;
}
