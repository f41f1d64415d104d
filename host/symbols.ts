// Stacks of the guest in AssemblyScript terms. V8 identifies a wasm frame by its byte offset in the
// image, which the image's source map leads back to a source position.
import { SourceMap } from "./source-map.ts";

/**
 * `at kernel/thread/spawn (wasm://wasm/1a2b3c:wasm-function[12]:0x1f4)`; the name may be missing.
 */
const WASM_FRAME = /^\s*at (?:(.*) \()?wasm:\/\/[^:]*:wasm-function\[(\d+)\]:0x([0-9a-f]+)\)?$/;

/**
 * The compiler's name of a source of this package, or of a function in one, as applications import
 * it: `torito/kernel/thread.ts`.
 */
export function sourceName(name: string): string {
  return name.startsWith("~lib/torito/") ? name.slice("~lib/".length) : name;
}

/** The guest's frames of a V8 stack, innermost first. Without a map: offsets. Never throws. */
export function symbolise(stack: string, sourceMap: string | undefined): string {
  const map = sourceMap === undefined ? null : parse(sourceMap);
  const frames: string[] = [];
  for (const line of stack.split("\n")) {
    const frame = WASM_FRAME.exec(line);
    if (frame === null) continue;
    const [, name, index, offset] = frame;
    const where = map === null ? null : position(map, Number.parseInt(offset as string, 16));
    const shown = name === undefined ? `function ${index}` : sourceName(name);
    frames.push(`    at ${shown} (${where ?? `0x${offset}`})`);
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
    return new SourceMap(text);
  } catch {
    return null; // an unreadable map costs the positions, not the report
  }
}

/** null for code without a source: what Asyncify added, and what follows an `unreachable`. */
function position(map: SourceMap, offset: number): string | null {
  const found = map.find(offset);
  if (found === null) return null;
  // Sources are relative to the folder of the image; show them relative to the project.
  const file = found.source.replace(/^(?:\.\.?\/)+/, "");
  return `${file}:${found.line + 1}:${found.column + 1}`;
}

/** The error, with its stack in AssemblyScript terms. What is no error stays as it is. */
export function symboliseError(error: unknown, sourceMap: string | undefined): unknown {
  if (error instanceof Error) {
    error.stack = `${error.name}: ${error.message}\n${symbolise(error.stack ?? "", sourceMap)}`;
  }
  return error;
}
