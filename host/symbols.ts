// Stacks of the guest in AssemblyScript terms: V8 names wasm frames by byte offset in the image,
// and the image's source map has those offsets as columns of its only line.
import { SourceMap } from "node:module";

/**
 * `at kernel/thread/spawn (wasm://wasm/1a2b3c:wasm-function[12]:0x1f4)`; the name may be missing.
 */
const WASM_FRAME = /^\s*at (?:(.*) \()?wasm:\/\/[^:]*:wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/;

/** The guest's frames of a V8 stack, innermost first. Without a map: offsets. Never throws. */
export function symbolise(stack: string, sourceMap: string | undefined): string {
  const map = sourceMap === undefined ? null : parse(sourceMap);
  const frames: string[] = [];
  for (const line of stack.split("\n")) {
    const frame = WASM_FRAME.exec(line);
    if (frame === null) continue;
    const [, name, index, offset] = frame;
    const where = map === null ? null : position(map, Number.parseInt(offset as string, 16));
    frames.push(`    at ${name ?? `function ${index}`} (${where ?? `0x${offset}`})`);
  }
  return frames.join("\n");
}

/** The AssemblyScript position of the innermost frame that has one, or null. */
export function innermost(
  stack: string,
): { readonly file: string; readonly line: number; readonly column: number } | null {
  const found = /\((.+):(\d+):(\d+)\)$/m.exec(stack);
  if (found === null) return null;
  return { file: found[1] as string, line: Number(found[2]), column: Number(found[3]) };
}

function parse(text: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(text));
  } catch {
    return null; // a map that cannot be read costs the names, not the report
  }
}

function position(map: SourceMap, offset: number): string | null {
  const entry = map.findEntry(0, offset);
  // Some frames have no mapping: what Asyncify added, and what is behind an `unreachable`.
  if (!("originalSource" in entry) || entry.originalSource === undefined) return null;
  // Sources are relative to the image's folder; what counts is where they are in the project.
  const file = entry.originalSource.replace(/^(?:\.\.?\/)+/, "");
  return `${file}:${entry.originalLine + 1}:${entry.originalColumn + 1}`;
}
