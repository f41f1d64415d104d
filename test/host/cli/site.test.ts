// `torito serve` with the rule files of a site: what is faulty is reported, and does not stop it.
import { mkdirSync, truncateSync, writeFileSync } from "node:fs";
import { afterEach, describe, expect, test } from "vitest";
import { Appliance, makeFolder, removeFolders } from "../../support/appliance.ts";
import { makeSite, parseAnswer, requestText } from "../../support/site-guest.ts";

afterEach(removeFolders);

describe("torito serve", () => {
  test("reports lines without effect with their place, and follows the others", async () => {
    const folder = makeSite({
      "index.html": "home",
      _headers: "/*\n  X-A: 1\n  Content-Length: 5\n",
      _redirects: "/old /new\n/geo /x 302 Country=de\n",
    });
    const server = await Appliance.serve(folder);
    const answer = parseAnswer(await server.raw(requestText("/old", [], "GET")));
    expect([answer.status, answer.one("location"), answer.one("x-a")]).toEqual([301, "/new", "1"]);
    const lines = server.stderr.split("\n").filter((line) => line.includes("has no effect"));
    expect(lines).toEqual([
      "warn: _headers:3: Content-Length cannot be set: it is between the server and its client; " +
        "the line has no effect",
      "warn: _redirects:2: conditions on Country are left out; the line has no effect",
    ]);
    expect(await server.stop()).toBe(0);
  });

  test("follows the rules in a machine for each connection too", async () => {
    const folder = makeSite({ "index.html": "home", _redirects: "/old /new\n/bad\n" });
    const server = await Appliance.serve(folder, "--fresh", "--machines", "2");
    for (let i = 0; i < 4; i++) {
      const answer = parseAnswer(await server.raw(requestText("/old", [], "GET")));
      expect(answer.one("location")).toBe("/new");
    }
    expect(server.stderr.match(/_redirects:2/g)).toHaveLength(1);
    expect(await server.stop()).toBe(0);
  });

  test.each([
    ["a folder", (path: string) => mkdirSync(path), "is not a file"],
    [
      "too large",
      (path: string) => {
        writeFileSync(path, "");
        truncateSync(path, 5_000_000);
      },
      "has more than 4194304 bytes",
    ],
  ])("does not start with a rule file that is %s", async (_, make, message) => {
    const folder = makeFolder();
    make(`${folder}/_headers`);
    const server = new Appliance(["serve", folder, "-p", "0:80"]);
    expect(await server.exited).toBe(2);
    expect(server.stderr).toContain(`torito: ${folder}/_headers ${message}`);
  });
});
