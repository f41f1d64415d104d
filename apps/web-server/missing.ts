// Answers where the site has no file: by a rule, with the page of an application in one page, with
// the site's own page for errors, or with a line of text.
import { Span, span, spanAddress, spanBytes, text } from "torito/kernel/api";
import { SiteFlag } from "torito/abi/site";
import { putBytes } from "torito/guest/http/text";
import { acceptsHtml } from "./accept";
import { Connection } from "./connections";
import { serveErrorPage, serveFile } from "./file";
import { find, found, foundStat, Kind } from "./find";
import { isHidden } from "./hidden";
import { fail, redirectTo } from "./respond";
import { findRedirect, hasRedirects, statusOf, targetOf } from "./rules/redirect";
import { fallbackOf } from "./rules/site";
import { pathOf, requestOf, Work } from "./work";

const NOT_FOUND_PAGE = text("/404.html");

/** The query of the request, without `?`; 0: it has none. */
export function queryOf(work: Work): Span {
  const request = requestOf(work);
  const bytes = request.queryBytes;
  return bytes == 0 ? 0 : span(request.query + 1, bytes - 1);
}

/** Answers by the rule at `rule`, which was found last. Yields. */
export function follow(c: Connection, rule: usize): u32 {
  const work = c.work;
  const target = targetOf(work.site, rule, queryOf(work));
  if (target == 0) return fail(c, 414);
  const status = statusOf(rule);
  if (status != 200 && status != 404) return redirectTo(c, status, target);
  const bytes = rewrite(work, target);
  // Captures may spell what the request's own path could not have.
  if (isHidden(pathOf(work), bytes, work.site.has(SiteFlag.SERVES_DOTFILES))) return missing(c);
  if (findTarget(work, bytes) != Kind.File) return missing(c);
  if (status == 200) return serveFile(c, found.pathBytes, foundStat);
  return serveErrorPage(c, found.pathBytes, foundStat, 404) || fail(c, 404);
}

/** Finds the file for a path that a rule gives; of a directory its index. Yields. */
function findTarget(work: Work, bytes: u32): Kind {
  const path = pathOf(work);
  const kind = find(work.site, path, bytes, false);
  if (kind != Kind.Directory) return kind;
  store<u8>(path + bytes, 0x2f);
  return find(work.site, path, bytes + 1, false);
}

/** Puts another path in the place of the decoded one. Returns its length. */
function rewrite(work: Work, path: Span): u32 {
  putBytes(pathOf(work), spanAddress(path), spanBytes(path));
  work.rewritten = true;
  return spanBytes(path);
}

/** Answers where there is no file: by a rule, the fallback, or as missing. Yields. */
export function replace(c: Connection): u32 {
  const work = c.work;
  if (hasRedirects(work.site)) {
    const rule = findRedirect(work.site, pathOf(work), work.pathBytes, queryOf(work), false);
    if (rule != 0) return follow(c, rule);
  }
  const fallback = fallbackOf(work.site);
  // SI6: a script or an image that is missing is no page.
  if (spanBytes(fallback) != 0 && isPage(work) && acceptsHtml(requestOf(work))) {
    if (findTarget(work, rewrite(work, fallback)) == Kind.File) {
      return serveFile(c, found.pathBytes, foundStat);
    }
  }
  return missing(c);
}

/** Has the last segment of the path no dot? */
function isPage(work: Work): bool {
  const path = pathOf(work);
  for (let p = path + work.pathBytes; p > path && load<u8>(p - 1) != 0x2f; p--) {
    if (load<u8>(p - 1) == 0x2e) return false;
  }
  return true;
}

/** 404, with the site's page if it has one. Yields. */
export function missing(c: Connection): u32 {
  const work = c.work;
  if (findTarget(work, rewrite(work, NOT_FOUND_PAGE)) != Kind.File) {
    return fail(c, 404);
  }
  return serveErrorPage(c, found.pathBytes, foundStat, 404) || fail(c, 404);
}
