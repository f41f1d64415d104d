// From a request to its answer: writes the head to the output, and selects the part of a file that
// follows it. Nothing is sent here. A file that cannot be opened for reading reveals nothing.
import { SiteFlag } from "torito/abi/site";
import { decodePath } from "torito/guest/http/path";
import { Method } from "torito/guest/http/request-head";
import { Connection } from "./connections";
import { hasCors, isPreflight, putPreflight } from "./cors";
import { serveFile } from "./file";
import { find, found, foundStat, Kind } from "./find";
import { isHidden } from "./hidden";
import { list } from "./listing";
import { follow, missing, queryOf, replace } from "./missing";
import {
  answerOptions,
  beginRequest,
  endRequest,
  fail,
  redirectToDirectory,
  redirectToShorter,
} from "./respond";
import { findRedirect, hasRedirects } from "./rules/redirect";
import { outputOf, pathOf, requestOf } from "./work";

/**
 * Answers the request in the connection's work. Yields. Returns the number of bytes in the output.
 * Of the file c.entry, if any, bytes [c.at, c.end) follow; c.keepAlive allows another request.
 */
export function answer(c: Connection): u32 {
  beginRequest(c);
  const bytes = answerRequest(c);
  endRequest(c);
  return bytes;
}

function answerRequest(c: Connection): u32 {
  const work = c.work;
  const request = requestOf(work);
  if (request.method == Method.OPTIONS) {
    return hasCors(work.site) && isPreflight(request) ? preflight(c) : answerOptions(c);
  }
  const path = pathOf(work);
  const decoded = decodePath(request.path, request.path + request.pathBytes, path);
  if (decoded < 0) return fail(c, <u32>-decoded);
  work.pathBytes = <u32>decoded;
  return answerPath(c);
}

/** Answers for the decoded path of a GET or HEAD. */
function answerPath(c: Connection): u32 {
  const work = c.work;
  const site = work.site;
  const path = pathOf(work);
  const bytes = work.pathBytes;
  if (isHidden(path, bytes, site.has(SiteFlag.SERVES_DOTFILES))) return missing(c);
  if (hasRedirects(site)) {
    const rule = findRedirect(site, path, bytes, queryOf(work), true);
    if (rule != 0) return follow(c, rule);
  }
  switch (find(site, path, bytes, true)) {
    case Kind.File:
      return serveFile(c, found.pathBytes, foundStat);
    case Kind.Directory:
      return redirectToDirectory(c);
    case Kind.Clean:
      return shorten(c, found.pathBytes);
    case Kind.Listing:
      return list(c);
    case Kind.Missing:
      return replace(c);
    default:
      return fail(c, found.status);
  }
}

/** Redirects to the path without its last `bytes`. */
function shorten(c: Connection, bytes: u32): u32 {
  const work = c.work;
  const request = requestOf(work);
  const path = pathOf(work);
  const ending = path + work.pathBytes - bytes;
  // With escapes in its ending, the path as it was sent cannot be cut there.
  if (memory.compare(request.path + request.pathBytes - bytes, ending, bytes) == 0) {
    return redirectToShorter(c, bytes);
  }
  const kind = find(work.site, path, work.pathBytes, false);
  return kind == Kind.File ? serveFile(c, found.pathBytes, foundStat) : replace(c);
}

function preflight(c: Connection): u32 {
  const work = c.work;
  const at = putPreflight(outputOf(work), work.site, requestOf(work), c.keepAlive);
  return <u32>(at - outputOf(work));
}
