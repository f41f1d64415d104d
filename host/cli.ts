#!/usr/bin/env node
// The command `torito`: a thin user of Machine.
import { readFileSync } from "node:fs";
import { parseCommandLine } from "./cli/arguments.ts";
import { CliError, EXIT_SOFTWARE, HELP } from "./cli/usage.ts";

async function main(words: readonly string[]): Promise<number> {
  const invocation = parseCommandLine(words);
  if (invocation.kind === "help") {
    process.stdout.write(HELP);
    return 0;
  }
  if (invocation.kind === "version") {
    const manifest = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    process.stdout.write(`torito ${(JSON.parse(manifest) as { version: string }).version}\n`);
    return 0;
  }
  // Loaded only when it is needed. The firmware takes longest: the rest is loaded meanwhile.
  const firmware = import("./firmware.ts").then(({ loadFirmware }) => loadFirmware());
  const [{ run }] = await Promise.all([import("./cli/run.ts"), firmware]);
  return run(invocation);
}

function report(error: unknown): number {
  if (error instanceof CliError) {
    process.stderr.write(`torito: ${error.message}\n`);
    return error.code;
  }
  const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`torito: a fault of the host: ${fault}\n`);
  return EXIT_SOFTWARE;
}

// Whoever reads our output may leave before us.
process.stdout.on("error", () => {});
process.stderr.on("error", () => {});

process.exit(await main(process.argv.slice(2)).catch(report));
