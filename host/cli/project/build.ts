// `torito build`: a release image and its map; and images that `torito run` makes first.
import { mkdirSync, renameSync, writeFileSync } from "node:fs";
import { dirname, relative, resolve } from "node:path";
import type { LogFormat } from "../../log.ts";
import { compile, diagnosticsOf, isCompilerMissing, loadTool } from "../../node/builder.ts";
import { stderr } from "../streams.ts";
import { asLongAsItTakes, CliError, type End, EXIT_ERRORS, EXIT_UNAVAILABLE } from "../usage.ts";
import { imageOf, type Project } from "./project.ts";
import { reportDiagnostics } from "./report.ts";

/** `output`: path of the image; null: in build/ of the project. */
export async function build(
  project: Project,
  output: string | null,
  logFormat: LogFormat,
): Promise<End> {
  const path = output === null ? imageOf(project) : resolve(output);
  const started = performance.now();
  const made = await errorsReported(logFormat, () =>
    compile(project.entry, "release", { folder: project.folder, colors: isColored(logFormat) }),
  );
  if (made === null) return asLongAsItTakes(EXIT_ERRORS);
  reportDiagnostics(made.warnings, logFormat);
  try {
    mkdirSync(dirname(path), { recursive: true });
    write(`${path}.map`, made.map);
    write(path, made.wasm);
  } catch (error) {
    throw new CliError((error as Error).message, EXIT_UNAVAILABLE);
  }
  const ms = Math.round(performance.now() - started);
  const shown = output ?? relative(process.cwd(), path);
  if (logFormat === "json") {
    const record = { ts: new Date().toISOString(), level: "info", comp: "build", msg: "built" };
    stderr.line(`${JSON.stringify({ ...record, file: shown, bytes: made.wasm.length, ms })}\n`);
  } else stderr.line(`${shown}  ${made.wasm.length} bytes  ${ms} ms\n`);
  return asLongAsItTakes(0);
}

/** Whole, or not at all: a reader never sees half an image. */
function write(path: string, content: string | Uint8Array): void {
  const part = `${path}.${process.pid}`;
  writeFileSync(part, content);
  renameSync(part, path);
}

/** The project's image, built first if it is older than its sources. null: it has errors. */
export async function freshImage(project: Project, logFormat: LogFormat): Promise<string | null> {
  const image = imageOf(project);
  const { isFresh } = await loadTool("fresh");
  if (isFresh(image, project.folder)) return image;
  const { code } = await build(project, null, logFormat);
  return code === 0 ? image : null;
}

/** The result of `compiling`; null: errors in the sources, which have been reported. */
export async function errorsReported<T>(
  logFormat: LogFormat,
  compiling: () => Promise<T>,
): Promise<T | null> {
  try {
    return await compiling();
  } catch (error) {
    const diagnostics = diagnosticsOf(error);
    if (diagnostics !== null) {
      reportDiagnostics(diagnostics, logFormat);
      return null;
    }
    if (isCompilerMissing(error)) throw new CliError(error.message, EXIT_UNAVAILABLE);
    throw error;
  }
}

/** Colours are for a terminal. */
export function isColored(logFormat: LogFormat): boolean {
  return logFormat === "pretty" && process.stderr.isTTY === true && !process.env.NO_COLOR;
}
