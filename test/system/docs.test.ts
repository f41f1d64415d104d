// The documents: links lead somewhere, paths that are named exist, and what they promise of the
// package and its scripts is so.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { describe, expect, test } from "vitest";

const listed = execFileSync("git", ["ls-files", "-co", "--exclude-standard"], { encoding: "utf8" });
const documents = listed.split("\n").filter((name) => name.endsWith(".md") && existsSync(name));
const read = (name: string) => readFileSync(name, "utf8");
const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };

/** As on the web: lower case, spaces to hyphens, everything else left out. */
function anchors(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, title]) =>
    (title as string)
      .toLowerCase()
      .replace(/[^\w\- ]/g, "")
      .replaceAll(" ", "-"),
  );
}

/** Links inside the project, as [target, anchor]. */
function links(name: string, text: string): [string, string][] {
  const found = text.matchAll(/\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)/g);
  return [...found].map(([, target = "", anchor = ""]) => [
    target === "" ? name : posix.join(posix.dirname(name), target),
    anchor,
  ]);
}

test("the documents that a reader expects are there, and README leads to each", () => {
  const pages = documents.filter((name) => name.startsWith("docs/"));
  expect(pages.length).toBeGreaterThan(10);
  const linked = links("README.md", read("README.md")).map(([target]) => target);
  const rest = ["CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"];
  expect([...pages, ...rest].filter((name) => !linked.includes(name))).toEqual([]);
});

describe.each(documents)("%s", (name) => {
  const text = read(name);

  test("links lead somewhere", () => {
    const dead = links(name, text).filter(
      ([target, anchor]) =>
        !existsSync(target) || (anchor !== "" && !anchors(read(target)).includes(anchor)),
    );
    expect(dead).toEqual([]);
  });

  test("files that are named exist", () => {
    const made = name === "docs/extending.md";
    const named = [
      ...text.matchAll(
        /`((?:abi|apps|bench|docs|drivers|guest|host|kernel|test|tools)\/[\w./-]+)`/g,
      ),
    ];
    const missing = named.map(([, path]) => path as string).filter((path) => !existsSync(path));
    expect(missing.filter((path) => !made && !/^(docs\/api|build)\//.test(path))).toEqual([]);
  });

  test("npm scripts that are named exist", () => {
    const named = [
      ...text.matchAll(/npm (?:run )?(build|start|test|check|bench|soak|docs|test:\w+)\b/g),
    ];
    expect(named.map(([, script]) => script as string).filter((one) => !(one in scripts))).toEqual(
      [],
    );
  });
});

test("a dead link, an anchor and a path are found", () => {
  expect(links("docs/a.md", "[x](b.md#c) [y](https://d) [z](#e)")).toEqual([
    ["docs/b.md", "c"],
    ["docs/a.md", "e"],
  ]);
  expect(anchors("# A b: c\n## The `x`, y\n")).toEqual(["a-b-c", "the-x-y"]);
});

test("every parameter of the kernel stands in the table of parameters", () => {
  const sources = listed.split("\n").filter((name) => /^(kernel|drivers)\/.*\.ts$/.test(name));
  const text = sources
    .filter((name) => existsSync(name))
    .map(read)
    .join("\n");
  const names = new Set(text.match(/"(?:net|vsock)\.[a-z_]+"/g)?.map((one) => one.slice(1, -1)));
  expect(names.size).toBeGreaterThan(15);
  const table = read("docs/parameters.md");
  expect([...names].filter((name) => !table.includes(`\`${name}\``))).toEqual([]);
});
