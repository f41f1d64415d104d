// The built command as its users start it.
import { type ChildProcess, execFileSync, type StdioOptions, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
export const CLI = join(ROOT, "dist/host/cli.js");
const running = new Set<ChildProcess>();

export interface Result {
  readonly code: number | null;
  readonly signal: string | null;
  readonly out: string;
  readonly err: string;
}

/** Once, before the first start(). */
export function buildCommand(): void {
  if (existsSync(CLI)) return;
  const tsc = join(ROOT, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", join(ROOT, "tsconfig.build.json")]);
}

/** Ends processes that a test has left. */
export function killCommands(): void {
  for (const child of running) child.kill("SIGKILL");
}

export interface Streams {
  /** Where stdout and stderr go; what is not a pipe is not collected. */
  readonly stdio?: StdioOptions;
  /** Collect stdout only when read() is called. */
  readonly late?: boolean;
  /** Working directory. */
  readonly cwd?: string;
  /** The command; by default this checkout's. */
  readonly cli?: string;
  readonly env?: NodeJS.ProcessEnv;
}

/** Starts torito; `until` resolves once stderr holds the text, `end` when the process is gone. */
export function start(...words: string[]) {
  return startWith({}, ...words);
}

export function startWith(streams: Streams, ...words: string[]) {
  const { stdio, late = false, cwd, cli = CLI, env } = streams;
  const child = spawn(process.execPath, [cli, ...words], {
    cwd,
    env: { ...process.env, ...env },
    stdio: stdio ?? ["ignore", "pipe", "pipe"],
  });
  running.add(child);
  const text = { out: "", err: "" };
  const waiting: { wanted: RegExp; found: (match: RegExpExecArray) => void }[] = [];
  const look = () => {
    for (const { wanted, found } of waiting) {
      const match = wanted.exec(text.err);
      if (match !== null) found(match);
    }
  };
  const read = () => {
    child.stdout?.setEncoding("utf8").on("data", (part: string) => {
      text.out += part;
    });
  };
  if (!late) read();
  child.stderr?.setEncoding("utf8").on("data", (part: string) => {
    text.err += part;
    look();
  });
  const end = new Promise<Result>((resolve) => {
    child.on("close", (code, signal) => {
      running.delete(child);
      resolve({ code, signal, ...text });
    });
  });
  const until = (wanted: RegExp) =>
    new Promise<RegExpExecArray>((found) => {
      waiting.push({ wanted, found });
      look();
    });
  return { child, until, end, read, text: () => ({ ...text }) };
}
