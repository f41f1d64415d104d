#!/usr/bin/env node
// The command `torito`. Each command is loaded only when it is called.
import {
  type Command,
  type DevCommand,
  type Invocation,
  type MachineCommand,
  parseCommandLine,
  type SettingsOf,
} from "./cli/arguments.ts";
import { loadMachines } from "./cli/load.ts";
import { findProject, isProject } from "./cli/project/project.ts";
import { Signals } from "./cli/service/signals.ts";
import { exit, stderr, stdout } from "./cli/streams.ts";
import {
  asLongAsItTakes,
  CliError,
  type End,
  EXIT_SOFTWARE,
  EXIT_UNAVAILABLE,
} from "./cli/usage.ts";
import { packageVersion } from "./node/package.ts";
import { Watchdog } from "./node/watchdog.ts";

const words = process.argv.slice(2);

/** `torito run` may be given an image, or an application of the package. */
const settingsOf: SettingsOf = (target, verb) => {
  if (verb !== "test" && verb !== "dev" && (target === null || !isProject(target))) return null;
  return findProject(target ?? ".").settings;
};

const parse = (): Invocation => parseCommandLine(words, settingsOf, process.env);

async function main(): Promise<End> {
  const invocation = parse();
  switch (invocation.kind) {
    case "help": {
      const { helpOf } = await import("./cli/help.ts");
      stdout.write(helpOf(invocation.verb));
      return asLongAsItTakes(0);
    }
    case "version":
      stdout.write(`torito ${packageVersion()}\n`);
      return asLongAsItTakes(0);
    case "new": {
      const { createProject } = await import("./cli/project/new.ts");
      return createProject(invocation);
    }
    case "inspect": {
      const { inspect } = await import("./cli/inspect.ts");
      return inspect(invocation.path);
    }
    case "precompress": {
      const { precompress } = await import("./cli/precompress.ts");
      return precompress(invocation.directory);
    }
    case "check": {
      const { checkUrl } = await import("./cli/check-url.ts");
      return checkUrl(invocation.url);
    }
    case "top": {
      const { top } = await import("./cli/top.ts");
      return top(invocation.url);
    }
    case "build": {
      const { build } = await import("./cli/project/build.ts");
      const { target, output, logFormat } = invocation;
      return build(findProject(target ?? "."), output, logFormat);
    }
    case "run": {
      if (invocation.act !== "run") {
        const { examine } = await import("./cli/config/check.ts");
        return examine(invocation);
      }
      const signals = new Signals();
      // Replicas load all of that in their own threads.
      const watchdog = invocation.areThreads ? null : await prepare(invocation);
      const { run } = await import("./cli/run.ts");
      return run(invocation, watchdog, signals, () => parse() as Command);
    }
    case "test": {
      const watchdog = await prepare(invocation);
      const { test } = await import("./cli/project/test.ts");
      return test(findProject(invocation.names[0] ?? "."), invocation, watchdog);
    }
    case "dev": {
      const watchdog = await prepare(invocation);
      const { dev } = await import("./cli/project/dev.ts");
      const { target } = invocation;
      const reload = () => ({
        project: findProject(target ?? "."),
        command: parse() as DevCommand,
      });
      return dev(reload, watchdog);
    }
  }
}

/** Loads all that machines need. The watchdog may not be running yet. */
async function prepare({ watchdogMs }: MachineCommand): Promise<Watchdog | null> {
  // Its thread starts while the rest is loaded.
  const watchdog = watchdogMs === null ? null : new Watchdog(watchdogMs);
  await loadMachines();
  return watchdog;
}

function report(error: unknown): End {
  if (error instanceof CliError) {
    stderr.line(`torito: ${error.message}\n`);
    return asLongAsItTakes(error.code);
  }
  const { code: what, message } = error as NodeJS.ErrnoException;
  // A thread that cannot be started says so in its message alone.
  if (/\bE[MN]FILE\b/.test(`${what} ${message}`)) {
    stderr.line(`torito: too few file descriptors (ulimit -n): ${message}\n`);
    return asLongAsItTakes(EXIT_UNAVAILABLE);
  }
  const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
  stderr.line(`torito: a fault of the host: ${fault}\n`);
  return asLongAsItTakes(EXIT_SOFTWARE);
}

const { code, patienceMs } = await main().catch(report);
await exit(code, patienceMs);
