// Errors and warnings of the compiler as records, in the names that authors use.
import { stripVTControlCharacters } from "node:util";
import { ENTRY } from "./entry.mjs";
import { shown } from "./names.mjs";

/**
 * @typedef {object} Diagnostic
 * @property {"error" | "warning"} level
 * @property {string} message
 * @property {string} file empty if it is about no place
 * @property {number} line from 1; 0 without a place
 * @property {number} column from 1; 0 without a place
 * @property {string} text for people: the message, the line of the source, and the place
 */

// asc's DiagnosticCategory; the others are only for information.
const WARNING = 2;
const ERROR = 3;
/** asc's DiagnosticCode. */
const FILE_NOT_FOUND = 6054;

/** The compiler has found errors, all of which are in the message. */
export class CompileError extends Error {
  name = "CompileError";
  /** @param {readonly Diagnostic[]} diagnostics */
  constructor(diagnostics) {
    super(diagnostics.map(({ text }) => text).join("\n\n"));
    this.diagnostics = diagnostics;
  }
}

/** @param {string} message of an error without a line; `file` may be empty */
export function errorWithoutPlace(message, file = "") {
  const text = file === "" ? message : `${file}: ${message}`;
  return new CompileError([{ level: "error", message, file, line: 0, column: 0, text }]);
}

/** @param {string} text `file:line:column: message` */
export function diagnosticOf(text) {
  const [, file = "", line = "0", column = "0", message = text] =
    /^(.+?):(\d+):(\d+): (.*)$/s.exec(text) ?? [];
  return /** @type {Diagnostic} */ ({
    level: "error",
    ...{ message, file, line: Number(line), column: Number(column), text },
  });
}

/** Takes what asc.main() reports: stderr gets a text, and reportDiagnostic() the record of it. */
export class Diagnostics {
  /** @type {Diagnostic[]} */
  list = [];
  #entry;
  #wanted;
  #text = "";

  /**
   * @param {string} entry the author's file, for errors in the one that the build makes
   * @param {string} wanted what is wrong then
   */
  constructor(entry, wanted, colors = false) {
    this.#entry = entry;
    this.#wanted = wanted;
    this.stderr = {
      isTTY: colors,
      write: (text) => {
        // With CI in the environment asc colours whatever it writes.
        this.#text = colors ? text : stripVTControlCharacters(text);
      },
    };
  }

  /** @type {(diagnostic: { message: string, code: number, category: number }) => void} */
  report = ({ message, code, category }) => {
    const text = shown(this.#text).trimEnd();
    const plain = stripVTControlCharacters(text);
    const [, file = "", line = "0", column = "0"] = / in (.+)\((\d+),(\d+)\)/.exec(plain) ?? [];
    if (file === `${ENTRY}.ts`) this.#wrongEntry(code);
    else if (category === ERROR || category === WARNING) {
      const level = category === ERROR ? "error" : "warning";
      const place = { file, line: Number(line), column: Number(column) };
      this.list.push({ level, message: shown(message), ...place, text });
    }
  };

  #wrongEntry(code) {
    const message = code === FILE_NOT_FOUND ? "there is no such file" : this.#wanted;
    if (this.list.some((one) => one.message === message)) return;
    this.list.push(...errorWithoutPlace(message, this.#entry).diagnostics);
  }
}
