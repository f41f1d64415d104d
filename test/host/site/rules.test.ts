// The parsers of _headers and _redirects: what they read, and what they say about the rest.
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseAllHeaders } from "@netlify/headers-parser";
import { parseAllRedirects } from "@netlify/redirect-parser";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { SitePieceKind } from "../../../abi/site.ts";
import { compileSite } from "../../../host/site/compile.ts";
import { parseHeaderRules } from "../../../host/site/headers.ts";
import type { Pattern, Piece } from "../../../host/site/pattern.ts";
import { parseRedirectRules } from "../../../host/site/redirects.ts";
import { SITE_PRESETS } from "../../../host/site/settings.ts";
import { Warnings } from "../../../host/site/warnings.ts";

const warningsOf = (headers: string | null, redirects: string | null) =>
  compileSite(SITE_PRESETS, headers, redirects).warnings.map(
    ({ file, line, message }) => `${file}:${line}: ${message}`,
  );

describe("lines of _headers without effect are reported with their number", () => {
  test.each([
    ["  X-A: 1\n", '1: no path stands above "X-A"'],
    [
      "/x\n\n# c\n  just words\n",
      '4: neither a path nor "Name: value": just words, and what is below it is left out',
    ],
    ["/x\n  X A: 1\n", '2: "X A" is not the name of a header'],
    ["/x\n  X-A:\n", "2: X-A has no value"],
    ["/x\n  X-A: a\rb\n", "2: a control character in the value of X-A"],
    ["/x\n  X-A: a\0b\n", "2: a control character in the value of X-A"],
    ["/x\n  Content-Length: 5\n", "2: Content-Length cannot be set: it is between the server"],
    ["/x\n  transfer-encoding: chunked\n", "2: transfer-encoding cannot be set"],
    ["/x\n  CONNECTION: close\n", "2: CONNECTION cannot be set"],
    ["/x\n  Date: now\n", "2: Date cannot be set"],
    ["/x\n  Trailer: x\n", "2: Trailer cannot be set"],
    ["/x\n  Content-Encoding: br\n", "2: Content-Encoding cannot be set"],
    ["/x\n  Content-Range: x\n", "2: Content-Range cannot be set"],
    ["/x\n  Upgrade: h2c\n", "2: Upgrade cannot be set"],
    ["/x\n  ETag: 1\n", "2: ETag cannot be set: the server computes it"],
    ["/x\n  Location: /\n", "2: Location cannot be set: the server computes it"],
    ["/x\n  Basic-Auth: me:secret\n", "2: Basic-Auth would be sent to everybody"],
    ["https://a.example/x\n  X-A: 1\n", "1: a rule for another domain: https://a.example/x"],
    ["/x?a=1\n  X-A: 1\n", '1: a path has no "?" and no "#": /x?a=1'],
    ["/a*b\n  X-A: 1\n", '1: "*" stands for whole segments, not for a part of "a*b"'],
    ["/:a-b\n  X-A: 1\n", '1: ":a-b" is not the name of a segment'],
    ["/:a/:a\n  X-A: 1\n", "1: :a stands there twice"],
    ["/%zz\n  X-A: 1\n", '1: "%zz" stands for no character'],
    ["/%00\n  X-A: 1\n", '1: "%00" stands for no character'],
    [`/x\n  X-A: ${"v".repeat(1000)}\n`, "2: a line of more than 1000 characters"],
    [
      `/${"*/".repeat(17)}
 X: 1`,
      "1: more than 16 placeholders",
    ],
  ])("%j", (text, warning) => {
    const found = warningsOf(text, null);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`_headers:${warning}`);
  });

  test("lines below a path that is left out are left out with it", () => {
    const rules = parseHeaderRules(
      "/a\n  X: 1\n/a*b\n  Y: 2\n/c\n  Z: 3\nassets/*\n  W: 4\n",
      new Warnings("_headers"),
    );
    expect(rules.map(({ fields }) => fields.map(({ name }) => name))).toEqual([["X"], ["Z"]]);
  });

  test("1e5 rules are cut at 2000 and 100, and reported in a hundred lines", () => {
    const many = Array.from({ length: 100_000 }, (_, i) => `/p${i}\n  X: 1\n`).join("");
    const found = warningsOf(many, null);
    expect(found).toHaveLength(101);
    expect(found[0]).toBe("_headers:4001: more than 2000 paths without placeholders");
    expect(found[100]).toContain("and 97900 more warnings after this one");
    const dynamic = Array.from({ length: 101 }, (_, i) => `/p${i}/*\n  X: 1\n`).join("");
    expect(warningsOf(dynamic, null)).toEqual([
      "_headers:201: more than 100 paths with placeholders",
    ]);
    const fields = Array.from({ length: 33 }, (_, i) => `  X-${i}: 1\n`).join("");
    expect(warningsOf(`/x\n${fields}`, null)).toEqual(["_headers:34: more than 32 headers"]);
  });
});

describe("lines of _redirects without effect are reported with their number", () => {
  test.each([
    ["/a", '/a has no target: no "/path" or "https://..." follows'],
    ["/a 404", "/a has no target"],
    ["a /b", '"a" is not a path that begins with "/"'],
    ["https://a.example/* /b", "a rule for another domain: https://a.example/*"],
    [
      "/a https://b.example/ 200",
      "https://b.example/ with 200 is another server: torito is no proxy",
    ],
    ["/a //b.example/ 200", "//b.example/ with 200 is another server"],
    ["/a /b 302 Country=us", "conditions on Country are left out"],
    ["/a /b 302 Language=de", "conditions on Language are left out"],
    ["/a /b 200! Role=admin", "conditions on Role are left out"],
    ["/a /b 302 Cookie=x", "conditions on Cookie are left out"],
    ["/a /b Country=us", "conditions on Country are left out"],
    ["/a /b 301 more", '"more" is not a status, as in 301 or 200!'],
    ["/a /b 3xx", '"3xx" is not a status'],
    ["/a /b 410", "status 410 is not one of 301, 302, 303, 307, 308, 200, 404"],
    ["/a /a", "/a leads to itself"],
    ["/a x /b", '"x" is not a parameter of the query, as in id=:id'],
    ["/:a a=:a /b", ":a stands there twice"],
    ["/* https://:splat/", "a placeholder in the name of a host"],
    ["/* //:splat/", "a placeholder in the name of a host"],
    ["/:h/* https://a.:h/:splat", "a placeholder in the name of a host"],
    ["/a*b /c", '"*" stands for whole segments'],
    ["/a a=1 b=1 c=1 d=1 e=1 f=1 g=1 h=1 i=1 /b", "more than 8 conditions"],
    [`/${"*/".repeat(10)}x ${"1234567".replace(/./g, "q$&=:q$& ")}/b`, "more than 16 placeholders"],
    [`/a /${"b".repeat(1000)}`, "a line of more than 1000 characters"],
  ])("%s", (line, warning) => {
    const found = warningsOf(null, `# first\n\n${line}\n/good /better\n`);
    expect(found).toHaveLength(1);
    expect(found[0]).toContain(`_redirects:3: ${warning}`);
  });

  test("a second rule for a path is reported, unless one of them is forced", () => {
    expect(warningsOf(null, "/a /b\n/a /c\n")).toEqual([
      "_redirects:2: another rule for /a stands above",
    ]);
    expect(warningsOf(null, "/a /b\n/a /c 301!\n/a id=1 /d\n/%61 /e\n")).toEqual([
      "_redirects:4: another rule for /%61 stands above",
    ]);
  });

  test("1e5 rules are cut at 2000 and 100", () => {
    const many = Array.from({ length: 100_000 }, (_, i) => `/p${i} /q\n`).join("");
    expect(warningsOf(null, many)[0]).toBe(
      "_redirects:2001: more than 2000 rules without placeholders or conditions",
    );
    const dynamic = Array.from({ length: 101 }, (_, i) => `/p${i}/* /q\n`).join("");
    expect(warningsOf(null, dynamic)).toEqual([
      "_redirects:101: more than 100 rules with placeholders or conditions",
    ]);
  });
});

/** Writes `text` as the rule file of a folder that is gone afterwards. */
async function inFolder<T>(name: string, text: string, body: (path: string) => Promise<T>) {
  const folder = mkdtempSync(join(tmpdir(), "torito-"));
  try {
    writeFileSync(join(folder, name), text);
    return await body(join(folder, name));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

/** A path or a target as it stood in the file. */
function shown(pieces: readonly Piece[], names: readonly (string | null)[]): string {
  return pieces
    .map(({ kind, bytes, capture }) => {
      if (kind === SitePieceKind.LITERAL) return textOf(bytes);
      if (kind === SitePieceKind.REST) return "*";
      return kind === SitePieceKind.QUERY ? "" : `:${names[capture]}`;
    })
    .join("");
}
const pathText = ({ pieces, captures }: Pattern) => shown(pieces, captures);

// Paths and values that mean the same to both; theirs tidies up commas, ours leaves values alone.
const word = fc.stringMatching(/^[a-z0-9]{1,6}$/);
const segment = fc.oneof(
  word,
  word.map((name) => `:${name.replace(/^\d/, "p")}`),
);
const pathOf = (segments: string[], star: boolean) =>
  `/${[...new Set(segments), ...(star ? ["*"] : [])].join("/")}`;
const path = fc
  .tuple(fc.array(segment, { maxLength: 4 }), fc.boolean())
  .map(([s, b]) => pathOf(s, b));
const blank = fc.constantFrom("", "   ", "# a comment", "  # another");

interface NetlifyRedirect {
  readonly from: string;
  readonly to: string;
  readonly status?: number;
  readonly force?: boolean;
  readonly query: Readonly<Record<string, string>>;
}

describe("Netlify's own parsers read", () => {
  const block = fc.tuple(
    path,
    fc.array(
      fc.tuple(
        word.map((w) => `x-${w}`),
        fc.stringMatching(/^[!-+\--9;-~]{1,20}$/),
      ),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    blank,
  );

  test("of _headers: the same paths, names and values", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(block, { maxLength: 8 }), async (blocks) => {
        const text = blocks
          .map(([at, fields, between]) =>
            [between, at, ...fields.map(([name, value]) => `  ${name}: ${value}`)].join("\n"),
          )
          .join("\n");
        const theirs = await inFolder("_headers", text, (file) =>
          parseAllHeaders({ headersFiles: [file], configHeaders: [], minimal: true }),
        );
        const warnings = new Warnings("_headers");
        const ours = parseHeaderRules(text, warnings);
        expect([theirs.errors, warnings.all]).toEqual([[], []]);
        // Theirs keeps blocks of one path apart; all of them apply.
        const byPath = new Map<string, Map<string, string>>();
        for (const { for: at, values } of theirs.headers) {
          const known = byPath.get(at) ?? new Map<string, string>();
          for (const [name, value] of Object.entries(values)) {
            const before = known.get(name);
            known.set(name, before === undefined ? `${value}` : `${before}, ${value}`);
          }
          byPath.set(at, known);
        }
        const mine = new Map<string, Map<string, string>>();
        for (const { pattern, fields } of ours) {
          const source = pathText(pattern);
          const known = mine.get(source) ?? new Map<string, string>();
          for (const { name, value } of fields) {
            const before = known.get(name);
            known.set(name, before === undefined ? value : `${before}, ${value}`);
          }
          mine.set(source, known);
        }
        expect(mine).toEqual(byPath);
      }),
    );
  });

  // Theirs takes a name that begins with a digit for a status.
  const name = word.map((one) => `q${one}`);
  const query = fc.array(fc.tuple(name, word), { maxLength: 2 });
  const status = fc.constantFrom("", "301", "302!", "303", "307", "308", "404", "200", "200!");
  const line = fc.tuple(path, query, path, status, fc.constantFrom("", " # said why"));

  test("of _redirects: the same paths, conditions, targets and statuses", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(line, { maxLength: 8 }), async (lines) => {
        const seen = new Set<string>();
        const kept = lines.filter(([from, , to]) => {
          const isNew = !seen.has(from);
          seen.add(from);
          return isNew && from !== to;
        });
        const text = kept
          .map(([from, pairs, to, code, comment]) => {
            const conditions = new Map(pairs);
            const words = [from, ...[...conditions].map((pair) => pair.join("=")), to, code];
            return `${words.filter((one) => one !== "").join("  ")}${comment}`;
          })
          .join("\n");
        const theirs = await inFolder("_redirects", text, (file) =>
          parseAllRedirects({ redirectsFiles: [file], configRedirects: [], minimal: true }),
        );
        const warnings = new Warnings("_redirects");
        const ours = parseRedirectRules(text, warnings);
        expect([theirs.errors, warnings.all]).toEqual([[], []]);
        const read = ours.map((rule) => ({
          from: pathText(rule.pattern),
          to: shown(rule.target, rule.pattern.captures),
          status: rule.status,
          force: rule.forced,
          query: Object.fromEntries(rule.conditions.map(({ name, value }) => [name, value])),
        }));
        const redirects = theirs.redirects as NetlifyRedirect[];
        expect(read).toEqual(
          redirects.map(({ from, to, status: code, force, query: pairs }) => ({
            from,
            to,
            status: code ?? 301,
            force: force ?? false,
            query: pairs,
          })),
        );
      }),
    );
  });
});
