// The build (tools/), as host code sees it. It is loaded only when something is to be built, and
// needs the compiler, which a package may lack.
import { pathToFileURL } from "node:url";
import { PACKAGE_FOLDER } from "./package.ts";

/** An error or a warning of the compiler. */
export interface Diagnostic {
  readonly level: "error" | "warning";
  readonly message: string;
  /** As the author names it: relative to the project, or `torito/...`. Empty: no place. */
  readonly file: string;
  /** From 1; 0 without a place. */
  readonly line: number;
  /** From 1; 0 without a place. */
  readonly column: number;
  /** For people: the message, the line of the source, and the place. */
  readonly text: string;
}

/** A statement that coverage counts. */
export interface Point {
  readonly file: string;
  readonly line: number;
}

/** An image and what it was made from. */
export interface Compiled {
  readonly wasm: Uint8Array<ArrayBuffer>;
  /** Its source map, as text. */
  readonly map: string;
  /** With coverage: statements; the image notes which ran (`coverage`). */
  readonly points: readonly Point[];
  readonly warnings: readonly Diagnostic[];
}

/** Options of compile(). */
export interface CompileOptions {
  /** Of the project. Default: the working directory. */
  readonly folder?: string;
  /** Count the statements that run, of the project or also of the package. Default: none. */
  readonly coverage?: "project" | "all";
  /** In the texts of diagnostics. Default: false. */
  readonly colors?: boolean;
}

interface Tools {
  readonly compile: {
    compile(
      entry: string,
      target: "release" | "debug" | "test",
      options: CompileOptions,
    ): Promise<Compiled>;
  };
  readonly fresh: { isFresh(image: string, folder: string): boolean };
  readonly "test-files": { testFiles(folder: string, names: readonly string[]): string[] };
}

/** Path of a module of the build. */
export const toolUrl = (name: string): URL => pathToFileURL(`${PACKAGE_FOLDER}tools/${name}.mjs`);

/** Loads a module of the build. */
export function loadTool<Name extends keyof Tools>(name: Name): Promise<Tools[Name]> {
  return import(toolUrl(name).href) as Promise<Tools[Name]>;
}

/**
 * Compiles an application (`release`, or `debug` with checks) or a file of tests (`test`).
 * `entry` is relative to the folder. Rejects with a CompileError that has all errors in its
 * message, or with a CompilerMissing that names the command which installs the compiler.
 */
export async function compile(
  entry: string,
  target: "release" | "debug" | "test",
  options: CompileOptions = {},
): Promise<Compiled> {
  const tool = await loadTool("compile");
  return tool.compile(entry, target, { folder: process.cwd(), ...options });
}

/** The errors of a failed compilation; null: the error is another one. */
export function diagnosticsOf(error: unknown): readonly Diagnostic[] | null {
  const { name, diagnostics } = error as { name?: string; diagnostics?: readonly Diagnostic[] };
  return name === "CompileError" && diagnostics !== undefined ? diagnostics : null;
}

/** Is the compiler missing? */
export function isCompilerMissing(error: unknown): error is Error {
  return (error as Error).name === "CompilerMissing";
}
