// The parser of requests beside node:http, on requests that were altered at random from a corpus.
// Whatever one of them refuses and the other does not is listed, with the rule that says so.

import { METHODS } from "node:http";
import { isIPv6 } from "node:net";
import fc from "fast-check";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Machine } from "../../host/node/machine.ts";
import { compileOnce } from "../support/compiled.ts";
import { NodeParser, type Reading } from "../support/node-parser.ts";
import { PIECES, SEEDS } from "../support/request-corpus.ts";

const SEED = 20_261_127;
const RUNS = 10_000;
const LENGTH = 1; // Framing
const CHUNKED = 2;

let guest: Guest;
const node = new NodeParser();
beforeAll(async () => {
  const { wasm } = await compileOnce("test/guest/request-parser.ts", "release", { kind: "calls" });
  guest = new Guest(await Machine.create({ image: wasm, memoryBytes: 4 * 1024 * 1024 }));
});
afterAll(() => guest.machine.dispose());

class Guest {
  readonly machine: Machine;
  readonly #memory: Uint8Array;
  readonly #buffer: number;

  constructor(machine: Machine) {
    this.machine = machine;
    machine.boot();
    this.#memory = machine.memory.bytes(0, 4 * 1024 * 1024);
    this.#buffer = this.#call("buffer");
  }

  #call(name: string, ...args: number[]): number {
    return Number(this.machine.call(name, ...args));
  }

  #text(span: bigint): string {
    const at = Number(span >> 32n);
    return Buffer.from(this.#memory.subarray(at, at + Number(span & 0xffffffffn))).toString(
      "latin1",
    );
  }

  /** As parseRequest() returns it. */
  parse(bytes: Uint8Array): number {
    this.#memory.set(bytes, this.#buffer);
    this.#memory.fill(0x58, this.#buffer + bytes.length, this.#buffer + 65_536);
    return this.#call("parse", bytes.length, 1);
  }

  read(bytes: Uint8Array): Reading {
    const head = this.parse(bytes);
    if (head <= 0) return { outcome: head < 0 ? "refused" : "incomplete" };
    const framing = this.#call("framing");
    if (framing < 0) return { outcome: "refused" };
    const method = this.#text(this.machine.call("methodSpan") as bigint);
    const target = this.#text(this.machine.call("targetSpan") as bigint);
    let outcome: Reading["outcome"] = "whole";
    if (framing === LENGTH && head + this.#call("lengthBytes") > bytes.length)
      outcome = "incomplete";
    if (framing === CHUNKED) {
      const end = this.#call("scan", head, bytes.length);
      if (end <= 0) outcome = end < 0 ? "refused" : "incomplete";
    }
    return { outcome, method, target };
  }

  get fieldCount(): number {
    return this.#call("fieldCount");
  }

  /** All values of fields with that name. */
  values(name: string): string[] {
    const at = this.#buffer + 60_000;
    this.#memory.set(Buffer.from(name.toLowerCase(), "latin1"), at);
    const found: string[] = [];
    let from = 0;
    for (;;) {
      const span = this.machine.call("field", at, name.length, from) as bigint;
      if (span === 0n) return found;
      found.push(this.#text(span));
      from = Number(span >> 32n) + Number(span & 0xffffffffn) + 1;
    }
  }
}

/** A request of the corpus with some alterations. */
const altered = fc
  .tuple(
    fc.constantFrom(...SEEDS),
    fc.array(
      fc.record({
        place: fc.noBias(fc.integer({ min: 0, max: 999 })),
        kind: fc.constantFrom("insert", "replace", "remove", "repeat", "cut", "byte"),
        piece: fc.constantFrom(...PIECES),
        bytes: fc.integer({ min: 1, max: 12 }),
      }),
      { maxLength: 3 },
    ),
  )
  .map(([seed, changes]) => changes.reduce(alter, seed));

interface Change {
  place: number;
  kind: string;
  piece: string;
  bytes: number;
}

function alter(text: string, { place, kind, piece, bytes }: Change): string {
  const at = Math.floor((place / 1000) * text.length);
  const [before, after] = [text.slice(0, at), text.slice(at)];
  switch (kind) {
    case "insert":
      return before + piece + after;
    case "replace":
      return before + piece + after.slice(piece.length);
    case "remove":
      return before + after.slice(bytes);
    case "repeat":
      return before + after.slice(0, bytes).repeat(3) + after.slice(bytes);
    case "cut":
      return before;
    default:
      return (
        before +
        String.fromCharCode((text.charCodeAt(at) ^ (1 << (bytes % 8))) & 255) +
        after.slice(1)
      );
  }
}

const headOf = (text: string) => text.split("\r\n\r\n")[0] as string;
const lineOf = (text: string) => headOf(text.replace(/^\r\n/, "")).split("\r\n")[0] as string;
const valuesOf = (text: string, name: string) =>
  [...headOf(text).matchAll(new RegExp(`^${name}:[ \t]*(.*?)[ \t]*\r?$`, "gim"))].map(
    ([, value]) => value as string,
  );

const isHost = (value: string) => {
  const [, name, address] = /^(?:([\w.-]*)|\[(.*)\])(?::\d*)?$/.exec(value) ?? [];
  return name !== undefined || (address !== undefined && isIPv6(address));
};

const TARGET =
  /^\S+ (\/[^"<>\\^`{|}# ]*|https?:\/\/([\w.-]+|\[[\da-f:.]+\])(:\d*)?([/?][^"<>\\^`{|}# ]*)?) /i;

/** Requests that only WebServer refuses, by the rule that says so. */
const REFUSED: readonly [rule: string, is: (text: string) => boolean][] = [
  ["HF2", (text) => valuesOf(text, "Content-Length").some((value) => Number(value) > 2 ** 53 - 1)],
  ["HF2", (text) => valuesOf(text, "Content-Length").includes("")],
  ["HF3", (text) => /HTTP\/1\.0$/.test(lineOf(text)) && has(text, "Transfer-Encoding")],
  [
    "HF4",
    (text) =>
      valuesOf(text, "Transfer-Encoding").join().toLowerCase() !== "chunked" &&
      has(text, "Transfer-Encoding"),
  ],
  ["HF5", (text) => has(text, "Transfer-Encoding") && /\r\n[0-9a-f]{9}|;[^\r]{257}/i.test(text)],
  ["HF8", (text) => valuesOf(text, "Host").length !== 1],
  ["HF8", (text) => valuesOf(text, "Host").some((value) => !isHost(value))],
  ["HF9", (text) => !TARGET.test(lineOf(text))],
  ["HF12", (text) => !/ HTTP\/1\.\d$/.test(lineOf(text))],
  ["HF12", (text) => /^(\r|\n|\r\n\r|\r\n\n)/.test(text) && !/^\r\n\w/.test(text)],
  ["HF12", (text) => /^\S* \S* +\s/.test(lineOf(text))], // two spaces
  ["HF12", (text) => headOf(text).split("\r\n").length > 101],
];
const has = (text: string, name: string) => valuesOf(text, name).length > 0;

/** Requests that only Node refuses. */
const ACCEPTED: readonly ((text: string) => boolean)[] = [
  // HF10: a method that it does not know, where WebServer answers 405 or 501, and goes on.
  (text) => !METHODS.includes(/^(?:\r\n)?([^ ]*) /.exec(text)?.[1] ?? ""),
  // RFC 9110, 2.5: a later minor version is read as the latest that is known.
  (text) => / HTTP\/1\.[2-9]$/.test(lineOf(text)),
  // RFC 9110, 5.5: a tab is white space.
  (text) => /^Content-Length:.*\t/im.test(headOf(text)),
  // HF5: trailers are dropped, whatever their names.
  (text) => /\r\n0+(;[^\r]*)?\r\n(.*\r\n)*(Transfer-Encoding|Content-Length):/i.test(text),
  // HF5: extensions of chunks are not looked into.
  (text) => has(text, "Transfer-Encoding") && /\r\n[0-9a-f]+;/i.test(text),
];

function isListed(text: string, ours: Reading["outcome"], theirs: Reading["outcome"]): boolean {
  if (ours === "refused") return REFUSED.some(([, is]) => is(text));
  if (theirs !== "refused") return false;
  // Most lines are judged at their end.
  const isRefusedLater =
    ours === "incomplete" &&
    guest.read(Buffer.from(`${text}\r\n\r\n`, "latin1")).outcome === "refused";
  return isRefusedLater || ACCEPTED.some((is) => is(text));
}

test("HF1: of requests altered at random only those that are listed are not read as node:http does", async () => {
  const unlisted: string[] = [];
  let compared = 0;
  const compare = async (text: string) => {
    const bytes = Buffer.from(text, "latin1");
    const ours = guest.read(bytes);
    const theirs = await node.read(bytes);
    if (ours.outcome === theirs.outcome) {
      if (ours.outcome !== "whole") return;
      compared++;
      expect([ours.method, ours.target]).toEqual([theirs.method, theirs.target]);
      expect(guest.fieldCount).toBe(theirs.fields?.length);
      for (const [name] of theirs.fields ?? []) {
        const values = theirs.fields?.filter(([other]) => equal(other, name)).map(([, one]) => one);
        expect(guest.values(name), name).toEqual(values);
      }
      return;
    }
    if (!isListed(text, ours.outcome, theirs.outcome))
      unlisted.push(`${ours.outcome}, ${theirs.outcome}: ${JSON.stringify(text)}`);
  };
  await fc.assert(fc.asyncProperty(altered, compare), { seed: SEED, numRuns: RUNS });
  expect(unlisted).toEqual([]);
  expect(compared).toBeGreaterThan(RUNS / 10);
});

const equal = (a: string, b: string) => a.toLowerCase() === b.toLowerCase();

test("HF1: a head that is whole is incomplete in each of its parts, and a refusal stays one", () => {
  const cut = (text: string) => {
    const bytes = Buffer.from(text, "latin1");
    const whole = guest.parse(bytes);
    const end = whole > 0 ? whole : bytes.length;
    let refusal = 0;
    for (let length = 1; length < end; length++) {
      const status = guest.parse(bytes.subarray(0, length));
      expect(status, `${length} of ${JSON.stringify(text)}`).toBeLessThanOrEqual(0);
      if (refusal !== 0) expect(status, JSON.stringify(text)).toBe(refusal);
      refusal = status;
    }
    if (refusal !== 0) expect(whole).toBe(refusal);
  };
  fc.assert(fc.property(altered, cut), { seed: SEED, numRuns: RUNS / 20 });
});
