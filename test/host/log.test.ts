import { expect, test } from "vitest";
import { createLog, limitLog } from "../../host/log.ts";
import { innermost, symbolise } from "../../host/symbols.ts";

test("pretty lines name their source, JSON lines have fixed fields", () => {
  const lines: string[] = [];
  const write = (line: string) => void lines.push(line);
  const date = () => 0;
  const pretty = createLog({ format: "pretty", level: "info", write, date });
  pretty("info", "torito", "ready");
  pretty("warn", "vsock", "odd");
  pretty("debug", "vsock", "left out");
  const json = createLog({ format: "json", level: "debug", write, date, fields: { cid: 3 } });
  json("debug", "vsock", 'a "quoted" word');
  expect(lines).toEqual([
    "ready\n",
    "warn: vsock: odd\n",
    '{"ts":"1970-01-01T00:00:00.000Z","level":"debug","cid":3,"comp":"vsock",' +
      '"msg":"a \\"quoted\\" word"}\n',
  ]);
});

test("cuts a flood of lines to a number a second, and counts the rest", () => {
  const lines: string[] = [];
  let nowNs = 0;
  const log = limitLog(
    (message) => lines.push(message),
    () => nowNs,
    2,
  );
  for (let i = 0; i < 5; i++) log(`line ${i}`);
  nowNs = 1e9;
  log("next");
  log("last");
  expect(lines).toEqual(["line 0", "line 1", "next (3 lines dropped before)", "last"]);
});

const STACK = `RuntimeError: unreachable
    at kernel/thread/spawn (wasm://wasm/1a2b3c:wasm-function[12]:0x1f4)
    at wasm://wasm/1a2b3c:wasm-function[7]:0x2a
    at Machine.turn (file:///host/machine.js:1:1)`;

test("names the guest's frames by its source map", () => {
  // Generated column 0x1f4 of line 0 comes from line 3, column 5 of ../kernel/thread.ts.
  const map = JSON.stringify({
    version: 3,
    sources: ["../../kernel/thread.ts"],
    mappings: "ofAEI",
  });
  const stack = symbolise(STACK, map);
  expect(stack.split("\n")[0]).toBe("    at kernel/thread/spawn (kernel/thread.ts:3:5)");
  expect(stack).not.toContain("machine.js");
  expect(innermost(stack)).toEqual({ file: "kernel/thread.ts", line: 3, column: 5 });
});

test.each([undefined, "", "not JSON", "{}"])(
  "without a usable map (%j) offsets are shown",
  (map) => {
    expect(symbolise(STACK, map)).toBe(
      "    at kernel/thread/spawn (0x1f4)\n    at function 7 (0x2a)",
    );
    expect(innermost(symbolise(STACK, map))).toBe(null);
  },
);
