// The table of a site: its options and rules, which the host compiles (host/site/) and WebServer
// reads (apps/web-server/). One file, little-endian; places are bytes from the table's start.
// The guest checks every place and length before it uses one.

export const SITE_MAGIC = 0x65746973; // "site"
export const SITE_VERSION = 1;
export const SITE_TABLE_BYTES_MAX = 0x400000;

/** Texts of a rule's path and query that its target may repeat. */
export const SITE_CAPTURES_MAX = 16;
/** Rules of one file whose paths are patterns, or that look at the query. */
export const SITE_DYNAMIC_RULES_MAX = 100;

/** Bytes of headers that rules may add to one answer, with names and line ends. */
export const SITE_HEADERS_BYTES_MAX: u32 = 7936;

/** The head of the table. */
export const enum SiteTable {
  magic = 0, // u32
  version = 4, // u32
  bytes = 8, // u32, of the table
  flags = 12, // u32, SiteFlag
  fallback = 16, // SiteText: a path of the site; 0 bytes: none
  origins = 24, // SiteList of SiteText
  types = 32, // SiteList of SiteType
  headers = 40, // SiteRules, of SiteHeaderRule
  redirects = 64, // SiteRules, of SiteRedirectRule
  sizeof = 88,
}

/** SiteTable.flags. Bit numbers. */
export const enum SiteFlag {
  SERVES_DOTFILES = 0,
  ETAG_OF_CONTENT = 1,
  PRECOMPRESSED = 2,
  IMMUTABLE = 3,
  CLEAN_URLS = 4,
  LISTING = 5,
  SECURITY_HEADERS = 6,
  ANY_ORIGIN = 7,
  STRICT = 8,
}

export const enum SiteText {
  at = 0, // u32
  bytes = 4, // u32
  sizeof = 8,
}

export const enum SiteList {
  at = 0, // u32
  count = 4, // u32
  sizeof = 8,
}

export const enum SiteType {
  extension = 0, // SiteText, in lower case
  type = 8, // SiteText
  sizeof = 16,
}

/** Rules in the order of their file. */
export const enum SiteRules {
  rules = 0, // SiteList
  buckets = 8, // SiteList of u32, as many as a power of two, or none: number + 1 of the first
  // static rule whose path has that FNV-1a hash, modulo the count; 0: none
  dynamic = 16, // SiteList of u32: numbers of the others, ascending
  sizeof = 24,
}

/** The beginning of both kinds of rule. */
export const enum SiteRule {
  path = 0, // SiteList of SitePiece; of a static rule: one literal
  next = 8, // u32, number + 1 of the next rule of the bucket, which comes later; 0: none
  sizeof = 12,
}

export const enum SiteHeaderRule {
  fields = 12, // SiteList of SiteField
  replaces = 20, // u32, SiteHeader: headers of the server's own that are left out
  sizeof = 24,
}

export const enum SiteField {
  name = 0, // SiteText
  value = 8, // SiteText
  id = 16, // u32, the same for the same name
  header = 20, // u32, the bit of SiteHeader, or 0
  sizeof = 24,
}

/** Headers that a rule may set in place of the server. Masks. */
export const enum SiteHeader {
  CACHE_CONTROL = 1,
  CONTENT_TYPE = 2,
  CONTENT_TYPE_OPTIONS = 4,
  REFERRER_POLICY = 8,
  FRAME_OPTIONS = 16,
  OPENER_POLICY = 32,
  ALLOW_ORIGIN = 64,
}

export const enum SiteRedirectRule {
  target = 12, // SiteList of SitePiece
  conditions = 20, // SiteList of SiteCondition, all of which must hold
  status = 28, // u32: 301, 302, 303, 307, 308; 200 and 404: target is a file of the site
  forced = 32, // u32, 1: also where there is a file
  captures = 36, // u32, how many there are
  sizeof = 40,
}

export const enum SitePiece {
  kind = 0, // u32, SitePieceKind
  at = 4, // u32: of a literal its text, otherwise the number of the capture
  bytes = 8, // u32, of a literal
  sizeof = 12,
}

export const enum SitePieceKind {
  LITERAL = 0,
  SEGMENT = 1, // in a path: one segment, not empty; it becomes a capture
  REST = 2, // in a path: all that follows, perhaps nothing; it becomes a capture
  CAPTURE = 3, // in a target
  QUERY = 4, // in a target: the request's query, if it has one
}

/** A parameter of the query. */
export const enum SiteCondition {
  name = 0, // SiteText
  value = 8, // SiteText: the value that it must have; 0 place: any
  capture = 16, // u32, the capture that any value becomes
  sizeof = 20,
}
