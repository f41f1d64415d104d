#!/usr/bin/env node
// The command `torito`: a thin user of Machine.
import { readFileSync } from "node:fs";
import { parseCommandLine } from "./cli/arguments.ts";
import { exit, stderr, stdout } from "./cli/streams.ts";
import {
  asLongAsItTakes,
  CliError,
  type End,
  EXIT_SOFTWARE,
  EXIT_UNAVAILABLE,
  HELP,
} from "./cli/usage.ts";
import { Watchdog } from "./node/watchdog.ts";

async function main(words: readonly string[]): Promise<End> {
  const invocation = parseCommandLine(words);
  if (invocation.kind === "help") {
    stdout.write(HELP);
    return asLongAsItTakes(0);
  }
  if (invocation.kind === "version") {
    const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    stdout.write(`torito ${(JSON.parse(manifest) as { version: string }).version}\n`);
    return asLongAsItTakes(0);
  }
  // Its thread starts while the rest is loaded.
  const { watchdogMs } = invocation;
  const watchdog = watchdogMs === null ? null : new Watchdog(watchdogMs);
  // Loaded only when it is needed. The firmware takes longest, so the rest is loaded meanwhile,
  // part by part: Node opens all files that a module imports at once.
  const firmware = import("./node/firmware.ts").then(({ loadFirmware }) => loadFirmware());
  firmware.catch(() => {}); // reported below
  await import("./machine.ts");
  await import("./devices/vsock.ts");
  await import("./devices/fs.ts");
  await import("./node/devices.ts");
  const [{ run }] = await Promise.all([import("./cli/run.ts"), firmware]);
  return run(invocation, watchdog);
}

function report(error: unknown): End {
  if (error instanceof CliError) {
    stderr.line(`torito: ${error.message}\n`);
    return asLongAsItTakes(error.code);
  }
  const { code: what, message } = error as NodeJS.ErrnoException;
  if (what === "EMFILE" || what === "ENFILE") {
    stderr.line(`torito: too few file descriptors (ulimit -n): ${message}\n`);
    return asLongAsItTakes(EXIT_UNAVAILABLE);
  }
  const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  stderr.line(`torito: a fault of the host: ${fault}\n`);
  return asLongAsItTakes(EXIT_SOFTWARE);
}

const { code, patienceMs } = await main(process.argv.slice(2)).catch(report);
await exit(code, patienceMs);
