// The options of a site: their defaults, and which values are refused.
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import {
  SITE_OPTION_NAMES,
  SITE_OPTIONS,
  SITE_PRESETS,
  type SiteOption,
  settingOfJson,
  settingOfWords,
} from "../../../host/site/settings.ts";

test("the defaults are those of a public site", () => {
  expect(SITE_PRESETS).toEqual({
    dotfiles: "hide",
    etag: "mtime",
    precompressed: true,
    immutable: "off",
    fallback: null,
    "clean-urls": false,
    listing: false,
    "security-headers": false,
    cors: [],
    strict: false,
    types: {},
  });
  for (const name of SITE_OPTION_NAMES) {
    expect(settingOfJson(name, SITE_PRESETS[name]), name).toEqual(SITE_PRESETS[name]);
    expect(name).toMatch(/^[a-z]+(-[a-z]+)*$/);
    expect(SITE_OPTIONS[name].text.length).toBeLessThan(72);
  }
});

test("words of a command line and JSON give the same values", () => {
  expect(settingOfWords("dotfiles", ["hide", "serve"])).toBe("serve");
  expect(settingOfWords("listing", [""])).toBe(true);
  expect(settingOfWords("listing", ["false"])).toBe(false);
  expect(settingOfWords("fallback", ["/index.html"])).toBe("/index.html");
  expect(settingOfJson("fallback", null)).toBeNull();
  expect(settingOfWords("cors", ["https://a.example, http://b:81", "https://c"])).toEqual([
    "https://a.example",
    "http://b:81",
    "https://c",
  ]);
  expect(settingOfWords("types", ["ts=text/plain; charset=utf-8", "x=a/b"])).toEqual({
    ts: "text/plain; charset=utf-8",
    x: "a/b",
  });
});

describe("values that are refused, with what is wrong", () => {
  test.each([
    ["dotfiles", "show", '"show" is not one of hide, serve'],
    ["etag", 1, "1 is not one of mtime, content"],
    ["listing", "yes", '"yes" is not true or false'],
    ["fallback", "index.html", '"index.html" is not the path of a page, as in /index.html'],
    ["fallback", "/", '"/" is not the path of a page, as in /index.html'],
    ["fallback", "/../x", '".." in "/../x" is not served'],
    ["fallback", `/${"x".repeat(1000)}`, "a path of more than 1000 characters"],
    ["cors", "*", '"*" is not a list'],
    ["cors", ["a.example"], '"a.example" is not an origin, as in https://example.com, or *'],
    ["cors", ["https://a/"], '"https://a/" is not an origin, as in https://example.com, or *'],
    ["cors", ["https://a\r\nX: y"], "is not an origin"],
    ["cors", ["*", "https://a"], "* allows all: it stands alone"],
    ["cors", Array(65).fill("https://a"), "more than 64 origins"],
    ["types", [], "[] is not an object of extensions and content types"],
    ["types", { ".ts": "a/b" }, '".ts" is not an extension in lower case without a dot'],
    ["types", { ts: "text" }, '"text" is not a content type'],
    ["types", { ts: "a/b\r\nX: y" }, "is not a content type"],
    ["types", { ts: `a/${"b".repeat(127)}` }, "is not a content type"],
  ] as const)("%s %j", (name, value, message) => {
    expect(() => settingOfJson(name, value)).toThrow(message);
  });

  test("as words", () => {
    expect(() => settingOfWords("listing", ["perhaps"])).toThrow("not one of true, false");
    expect(() => settingOfWords("types", ["ts"])).toThrow('"ts" is not NAME=VALUE');
  });
});

test("docs/site.md lists every option with its values, its default and its text", () => {
  const page = readFileSync("docs/site.md", "utf8");
  const [, table = ""] = /<!-- options -->\n([\s\S]*?)<!-- \/options -->/.exec(page) ?? [];
  const rows = SITE_OPTION_NAMES.map((name) => {
    const option: SiteOption = SITE_OPTIONS[name];
    const [value, preset] = shown(option);
    return `| \`${name}\` | ${value} | ${preset} | ${option.text} |`;
  });
  expect(table.trim().split("\n").slice(2)).toEqual(rows);
});

/** The values of an option and its default, as the page has them. */
function shown(option: SiteOption): [value: string, preset: string] {
  switch (option.kind) {
    case "choice":
      return [option.words.map((word) => `\`${word}\``).join(", "), `\`${option.preset}\``];
    case "flag":
      return ["on, off", option.preset ? "on" : "off"];
    case "path":
      return ["a path", "none"];
    case "list":
      return ["a list", "none"];
    case "pairs":
      return ["names and values", "none"];
  }
}
