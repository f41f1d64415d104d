// The published declarations stand alone: what of AssemblyScript's numbers a file of them names is
// declared in it, and in nobody's global scope. Runs after tsc: node tools/declarations.mjs.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";

const root = new URL("..", import.meta.url);
const dist = new URL("dist/", root);
const numbers = readFileSync(new URL("host/as-types.d.ts", root), "utf8")
  .split("\n")
  .filter((line) => line.startsWith("type "));

for (const name of readdirSync(dist, { recursive: true, encoding: "utf8" })) {
  if (!name.endsWith(".d.ts")) continue;
  const file = new URL(name, dist);
  const text = readFileSync(file, "utf8");
  const code = text.replace(/\/\*[\s\S]*?\*\/|\/\/.*/g, "");
  const used = numbers.filter((line) => {
    const [, number] = line.split(" ");
    return new RegExp(`[:|>]\\s*${number}\\b`).test(code) && !text.includes(line);
  });
  if (used.length > 0) writeFileSync(file, `${used.join("\n")}\n${text}`);
}
