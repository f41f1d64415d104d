// TO: the tour. What it says of lines, events and commands is so.
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { TraceEvent } from "../../host/trace/event.ts";
import { codeTour, labStops, lineOf, places, readStops, requestsOf } from "../../tools/tour.mjs";
import { placeOf } from "../../web/inspector/place.ts";
import { PLACES } from "../../web/inspector/places.ts";
import { Recording } from "../../web/inspector/record.ts";
import { flowsOf } from "../../web/inspector/request.ts";
import { Appliance, makeFolder, removeFolders } from "../support/appliance.ts";
import { witness } from "../support/outside-program.ts";
import { Site } from "../support/snapshot-site.ts";
import { TickingClock } from "../support/trace.ts";

const page = readFileSync("docs/tour.md", "utf8");
const stops = readStops();
const STOP = /^### (\d+)\. (.*)\n\n\[`([^`]+)`\]\(\.\.\/([^)]+)\): `([^`]+)`$/gm;

afterAll(removeFolders);

describe("TO1: an anchor", () => {
  test.each(stops)("$title: one line of $file has it", (stop) => {
    expect(lineOf(stop)).toBeGreaterThan(0);
  });

  test("that no line has, or two, is an error", () => {
    const stop = { title: "x", file: "host/machine.ts", pattern: "turn(): void {" };
    expect(lineOf(stop)).toBeGreaterThan(100);
    expect(() => lineOf({ ...stop, pattern: "nobody writes this" })).toThrow("0 lines");
    expect(() => lineOf({ ...stop, pattern: "import " })).toThrow(/tour, "x": \d\d lines/);
  });

  test("the page quotes the table's stops, in its order", () => {
    const shown = [...page.matchAll(STOP)].map(([, number, title, file, link, pattern]) => {
      expect(link).toBe(file);
      return { number: Number(number), title, file, pattern };
    });
    expect(shown).toEqual(
      stops.map(({ title, file, pattern }, i) => ({ number: i + 1, title, file, pattern })),
    );
    expect(page.match(/^### /gm)).toHaveLength(stops.length);
  });

  test("the tour of an editor is the one that tools/tour.mjs makes", () => {
    expect(readFileSync(".tours/torito.tour", "utf8")).toBe(codeTour());
    const { steps } = JSON.parse(codeTour());
    for (const { file, pattern, description } of steps) {
      const lines = readFileSync(file, "utf8").split("\n");
      expect(lines.filter((line) => new RegExp(pattern).test(line))).toHaveLength(1);
      expect(description).toContain("**Ask**");
    }
  });

  test("TO5: the Lab's stops are the page's", () => {
    const plain = (text: string) => text.replace(/\s+/g, " ");
    const whole = plain(page.replace(/\[([^\]\n]+)\]\([^)]*\)/g, "$1"));
    const made = labStops();
    expect(made.map(({ title, file, line }) => [title, file, line])).toEqual(
      stops.map((stop) => [stop.title, stop.file, lineOf(stop)]),
    );
    for (const { chapter, text, look, attempt, ask } of made) {
      expect(page).toContain(`\n## ${chapter}\n`);
      for (const part of [...text, look, attempt, ask]) expect(whole).toContain(part);
      expect(Math.min(text.join().length, look.length, attempt.length, ask.length)).toBeGreaterThan(
        20,
      );
    }
  });

  test("TO5: a command of curl is requests of a page, where a page can send them", () => {
    const of = (command: string) => requestsOf(`ask: \`curl -s ${command}\``);
    const plain = { path: "/a", method: "GET", headers: {} };
    expect(of("http://127.0.0.1:4000/a http://127.0.0.1:4000/a")).toEqual([plain, plain]);
    expect(of("-Z -o /dev/null http://127.0.0.1:4000/[9-11]")).toEqual(
      ["/9", "/10", "/11"].map((path) => ({ ...plain, path })),
    );
    expect(of("-I http://127.0.0.1:4000/a")).toEqual([{ ...plain, method: "HEAD" }]);
    expect(of("-H 'Range: bytes=0-9' http://127.0.0.1:4000/a")).toEqual([
      { ...plain, headers: { Range: "bytes=0-9" } },
    ]);
    expect(of("-X 'G(T' http://127.0.0.1:4000/")).toEqual([]);
    expect(requestsOf("press *Pause*")).toEqual([]);
  });

  test("each stop says what to look at, what to try and what to ask", () => {
    for (const part of page.split(/^### /m).slice(1)) {
      const marks = [...part.matchAll(/^- \*\*(\w+)\*\*: /gm)].map(([, mark]) => mark);
      expect(marks, part).toEqual(["Look", "Try", "Ask"]);
      expect(part, part).toMatch(/\?$/m);
    }
  });
});

describe("a GET of a file over a connection of its own", () => {
  let events: TraceEvent[];
  const recording = new Recording();
  beforeAll(async () => {
    const directory = makeFolder();
    writeFileSync(`${directory}/large.bin`, "x".repeat(1 << 20));
    const clock = new TickingClock();
    const site = await Site.boot(directory, { manual: clock as never, clock });
    const all: TraceEvent[] = [];
    const end = site.machine.insight.trace((event) => void all.push(event));
    const client = site.connect();
    clock.advance(1);
    client.get("/large.bin");
    end();
    site.machine.dispose();
    recording.add(all, 0);
    events = recording.events;
  });

  const stopOf = (event: TraceEvent) => placeOf(event, recording.trackOf(event))?.stop ?? 0;

  test("TO2: its events come in the order of the stops", () => {
    let at = -1;
    for (const { stop, title } of PLACES) {
      const next = events.findIndex((event, i) => i > at && stopOf(event) === stop);
      expect(next, `${stop}. ${title}`).toBeGreaterThan(at);
      at = next;
    }
  });

  test("TO2: every packet and file request of it is at some stop", () => {
    const [flow, ...others] = flowsOf(events);
    expect(others).toEqual([]);
    expect(flow?.events.length).toBeGreaterThan(5);
    for (const event of flow?.events ?? []) expect(stopOf(event), event.name).toBeGreaterThan(14);
  });

  test("TO3: the inspector has the lines of the same table", () => {
    expect(readFileSync("web/inspector/places.ts", "utf8")).toBe(places());
    for (const { stop, file, line } of PLACES) {
      const { pattern } = stops[stop - 1] as (typeof stops)[number];
      expect(readFileSync(file, "utf8").split("\n")[line - 1]).toContain(pattern);
    }
  });

  test("a flow that lost its beginning is not offered", () => {
    const begin = events.findIndex(({ flow_in: isIn }) => isIn === false);
    expect(flowsOf(events.slice(begin))).toHaveLength(1);
    expect(flowsOf(events.slice(begin + 1))).toEqual([]);
  });
});

test("TO6: a term is explained where it appears first", () => {
  const text = page
    .replace(/^#.*$/gm, "")
    .replace(/`[^`]*`/g, " ")
    .replace(/\]\([^)]*\)/g, "]")
    .replace(/(?<!\*)\*(?!\*)[^*]+\*/g, "") // names of panels
    .replace(/^ {4}.*$/gm, "");
  const terms = [...text.matchAll(/\*\*([\w ]+)\*\*(?!:)/g)];
  expect(terms.length).toBeGreaterThan(12);
  expect(new Set(terms.map(([, term]) => term)).size).toBe(terms.length);
  for (const { 1: term, index } of terms) {
    const first = text.search(new RegExp(`\\b${term}(s|es)?\\b`, "i"));
    expect(first, `${term}: ${text.slice(first - 40, first + 40)}`).toBe(index + 2);
  }
});

describe("TO4: the commands", () => {
  const blocks = [...page.matchAll(/^ {4}(.*)$/gm)].map(([, line]) => line as string);
  const inline = [...page.matchAll(/`((?:curl|node|npm) [^`]+)`/g)].map(
    ([, line]) => line as string,
  );
  const commands = [...new Set([...blocks, ...inline])];
  const of = (program: string) => commands.filter((line) => line.startsWith(`${program} `));
  const running: Appliance[] = [];
  afterAll(async () => {
    for (const appliance of running) await appliance.stop();
  });

  const SERVE = "node dist/host/cli.js serve apps/web-server/site ";
  /** Serves as the page says, but on a free port, with files in a folder of its own. */
  async function serve(command: string): Promise<Appliance> {
    expect(command.startsWith(SERVE)).toBe(true);
    const folder = makeFolder();
    const flags = command.slice(SERVE.length).split(" ");
    const args = flags.map((flag) =>
      /^\w+\.(json|pcap)$/.test(flag) ? `${folder}/${flag}` : flag,
    );
    const appliance = await Appliance.serve("apps/web-server/site", ...args);
    running.push(appliance);
    return appliance;
  }

  test("are of programs that are known here", () => {
    expect(commands.length).toBeGreaterThan(15);
    expect(commands).toHaveLength(of("curl").length + of("node").length + of("npm").length);
    const { scripts } = JSON.parse(readFileSync("package.json", "utf8"));
    for (const line of of("npm")) expect(scripts).toHaveProperty([line.split(" ")[2] as string]);
  });

  test.each(of("node"))("%s: serves, and has an inspector", async (command) => {
    const appliance = await serve(command);
    const answer = await appliance.raw(
      "GET /small.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    );
    expect(answer).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    const url = /inspector on (\S+)/.exec(appliance.stderr)?.[1] as string;
    expect((await fetch(url)).status).toBe(200);
    expect(await appliance.stop()).toBe(0);
  });

  witness("curl", "those of a client get an answer", async () => {
    const appliance = await serve(of("node")[0] as string);
    for (const command of of("curl")) {
      const line = command.replaceAll("http://127.0.0.1:4000", appliance.url);
      const { status, stderr } = spawnSync("sh", ["-c", line], { encoding: "utf8" });
      expect(status, `${command}: ${stderr}`).toBe(0);
    }
    expect(appliance.child.exitCode).toBe(null);
  });
});
