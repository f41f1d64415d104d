#!/usr/bin/env node
// The command `torito`. Node opens all files that a module imports before it runs any of it. This
// one imports none, so that it can say when there are too few descriptors.
import { writeSync } from "node:fs";

const STDERR = 2;
/** As for all that is missing in the system (host/cli/usage.ts). */
const EXIT_UNAVAILABLE = 69;

try {
  await import("./cli/main.ts");
} catch (error) {
  const { code, message } = error as NodeJS.ErrnoException;
  if (code !== "EMFILE" && code !== "ENFILE") throw error;
  writeSync(STDERR, `torito: too few file descriptors (ulimit -n): ${message}\n`);
  process.exit(EXIT_UNAVAILABLE);
}
