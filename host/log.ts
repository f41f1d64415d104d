// Log lines of the machine and the command line: one line each, for people or as JSON.

/** Levels of log lines, the gravest first. */
export type LogLevel = "error" | "warn" | "info" | "debug";
export const LOG_LEVELS: readonly LogLevel[] = ["error", "warn", "info", "debug"];

/** For people, or for machines: a JSON object per line. */
export type LogFormat = "pretty" | "json";

/** Options of createLog(). */
export interface LoggerOptions {
  readonly format: LogFormat;
  /** Lines below this level are dropped. It may change. */
  readonly level: LogLevel;
  /** Takes one line, including its newline. */
  readonly write: (line: string) => void;
  /** Milliseconds since 1970. */
  readonly date?: () => number;
  /** Added to every JSON line, next to ts, level, comp and msg. */
  readonly fields?: Readonly<Record<string, string | number>>;
}

/** `component` is the source: "guest", "vsock"; "torito" is the program itself. */
export type Log = (level: LogLevel, component: string, message: string) => void;

/** Returns a Log that writes lines in the format and above the level given. */
export function createLog(options: LoggerOptions): Log {
  const { format, write, date = Date.now, fields = {} } = options;
  return (level, component, message) => {
    if (LOG_LEVELS.indexOf(level) > LOG_LEVELS.indexOf(options.level)) return;
    if (format === "json") {
      const ts = new Date(date()).toISOString();
      write(`${JSON.stringify({ ts, level, ...fields, comp: component, msg: message })}\n`);
    } else {
      const who = component === "torito" ? "" : `${component}: `;
      write(`${level === "info" ? "" : `${level}: `}${who}${message}\n`);
    }
  };
}

/**
 * Rate limit: passes `perSecond` lines a second and counts the others, so that a guest cannot flood
 * the log. The next line that passes says how many were dropped.
 */
export function limitLog(
  write: (message: string) => void,
  now: () => number,
  perSecond: number,
): (message: string) => void {
  let second = -1;
  let passed = 0;
  let suppressed = 0;
  return (message) => {
    const current = Math.floor(now() / 1e9);
    if (current !== second) {
      second = current;
      passed = 0;
    }
    if (passed >= perSecond) {
      suppressed++;
      return;
    }
    passed++;
    write(suppressed > 0 ? `${message} (${suppressed} lines dropped before)` : message);
    suppressed = 0;
  };
}
