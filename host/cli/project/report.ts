// Errors and warnings of the compiler, for people or as JSON.
import type { LogFormat } from "../../log.ts";
import type { Diagnostic } from "../../node/builder.ts";
import { stderr } from "../streams.ts";

export function reportDiagnostics(list: readonly Diagnostic[], format: LogFormat): void {
  for (const { level, message, file, line, column, text } of list) {
    const record = { ts: new Date().toISOString(), level, comp: "build", msg: message };
    const place = file === "" ? {} : { file, line, column };
    stderr.line(format === "json" ? `${JSON.stringify({ ...record, ...place })}\n` : `${text}\n\n`);
  }
}

/** `1 error`, `3 errors` */
export function countErrors(list: readonly Diagnostic[]): string {
  const errors = list.filter(({ level }) => level === "error").length;
  return `${errors} ${errors === 1 ? "error" : "errors"}`;
}
