// `torito test`: every function test_* of the author's files, each on a fresh machine, whose clock
// stands still but for the test; and every function panics_*, which must panic.
import { createLog } from "../../log.ts";
import { compile, loadTool, type Point } from "../../node/builder.ts";
import { VsockDevice } from "../../node/devices.ts";
import {
  bootGuest,
  type GuestImage,
  type MachineOptions,
  runTest,
  TestFailure,
  testsOf,
} from "../../node/testing.ts";
import type { Watchdog } from "../../node/watchdog.ts";
import type { TestCommand } from "../arguments.ts";
import { openDevices, presenceOf, watches } from "../parts.ts";
import { stderr, stdout, tellFailures } from "../streams.ts";
import {
  asLongAsItTakes,
  CliError,
  type End,
  EXIT_ERRORS,
  EXIT_SOFTWARE,
  EXIT_UNAVAILABLE,
} from "../usage.ts";
import { errorsReported, isColored } from "./build.ts";
import { Coverage } from "./coverage.ts";
import type { Project } from "./project.ts";
import { reportDiagnostics } from "./report.ts";
import { Watcher } from "./watcher.ts";

const EXIT_NOTHING = 2;

interface TestImage {
  readonly wasm: Uint8Array<ArrayBuffer>;
  readonly map: string;
  readonly points: readonly Point[];
}

export async function test(
  project: Project,
  command: TestCommand,
  watchdog: Watchdog | null,
): Promise<End> {
  const log = createLog({ format: command.logFormat, level: command.logLevel, write: stderr.line });
  tellFailures((message) => log("error", "torito", message));
  await watches(watchdog, log);
  return command.watch ? watch(project, command, watchdog) : once(project, command, watchdog);
}

async function once(
  { folder }: Project,
  command: TestCommand,
  watchdog: Watchdog | null,
): Promise<End> {
  const { testFiles } = await loadTool("test-files");
  const files = testFiles(folder, command.names);
  const run = new Run(command, watchdog);
  for (const file of files) {
    const options = { folder, colors: isColored(command.logFormat), ...coverageOf(command) };
    const made = await errorsReported(command.logFormat, () => compile(file, "test", options));
    if (made === null) run.broken();
    else {
      reportDiagnostics(made.warnings, command.logFormat);
      await run.file(file, made);
    }
  }
  run.end();
  return asLongAsItTakes(run.code);
}

const coverageOf = ({ coverage }: TestCommand) =>
  coverage ? ({ coverage: "project" } as const) : {};

/** Tests of the files that have changed, again and again, until a signal. */
function watch({ folder }: Project, command: TestCommand, watchdog: Watchdog | null): Promise<End> {
  const { logFormat, coverage, names } = command;
  const options = { folder, entry: null, tests: names, coverage, settings: [] };
  let run = new Run(command, watchdog);
  let queue = Promise.resolve();
  return new Promise((resolve, reject) => {
    new Watcher({ ...options, colors: isColored(logFormat) }, (event) => {
      queue = queue
        .then(async () => {
          if (event.kind === "built") {
            reportDiagnostics(event.warnings, logFormat);
            await run.file(event.entry, event);
          } else if (event.kind === "failed") {
            reportDiagnostics(event.diagnostics, logFormat);
            run.broken();
          } else if (event.kind === "done") {
            run.end();
            run = new Run(command, watchdog);
          } else if (event.kind === "fault") {
            throw new CliError(event.message, event.missing ? EXIT_UNAVAILABLE : EXIT_SOFTWARE);
          }
        })
        .catch(reject);
    });
    for (const signal of ["SIGINT", "SIGTERM"]) {
      process.once(signal, () => resolve(asLongAsItTakes(0)));
    }
  });
}

/** Runs tests, prints results, and counts them. */
class Run {
  readonly #command: TestCommand;
  readonly #watchdog: Watchdog | null;
  readonly #coverage = new Coverage();
  #passed = 0;
  #failed = 0;
  #filtered = 0;
  #brokenFiles = 0;

  constructor(command: TestCommand, watchdog: Watchdog | null) {
    this.#command = command;
    this.#watchdog = watchdog;
  }

  /** A file does not compile, which has been reported. */
  broken(): void {
    this.#brokenFiles++;
  }

  async file(name: string, { wasm, map, points }: TestImage): Promise<void> {
    const image = { wasm: new WebAssembly.Module(wasm), map };
    const hits = new Uint8Array(points.length);
    this.#line(name);
    await fits(image, await this.#options());
    for (const test of testsOf(image)) {
      if (isWanted(test, this.#command.filter)) await this.#test(image, test, hits);
      else this.#filtered++;
    }
    this.#coverage.add(points, hits);
  }

  async #test(image: GuestImage, name: string, hits: Uint8Array): Promise<void> {
    const title = name.replace(/^test_/, "").replaceAll("_", " ");
    try {
      await runTest(image, name, await this.#options(), (machine) => {
        if (hits.length === 0) return;
        machine.memory.bytes(machine.global("coverage"), hits.length).forEach((hit, i) => {
          if (hit === 1) hits[i] = 1;
        });
      });
      this.#passed++;
      this.#line(`  ok    ${title}`);
    } catch (error) {
      if (!(error instanceof TestFailure)) throw error;
      this.#failed++;
      this.#explain(title, error);
    }
  }

  /** Devices belong to one machine. */
  async #options(): Promise<Partial<MachineOptions>> {
    const { memoryBytes, parameters } = this.#command;
    const devices = [new VsockDevice(), ...(await openDevices(this.#command))];
    return { memoryBytes, parameters, devices, ...presenceOf(this.#watchdog) };
  }

  #explain(title: string, { message, file, line, column, frames, console }: TestFailure): void {
    const place = file === "" ? "" : ` at ${file}:${line}:${column}`;
    const what = message === "panic" ? "an assertion failed" : message;
    this.#line(`  FAIL  ${title}: ${what}${place}`);
    for (const text of [frames, ...console]) {
      for (const one of text.split("\n")) if (one !== "") this.#line(`        ${one.trim()}`);
    }
  }

  end(): void {
    const { coverage } = this.#command;
    if (coverage) for (const line of this.#coverage.lines()) this.#line(line);
    const broken = this.#brokenFiles > 0 ? `, ${this.#brokenFiles} do not compile` : "";
    const filtered = this.#filtered > 0 ? `, ${this.#filtered} filtered out` : "";
    this.#line(`${this.#passed} passed, ${this.#failed} failed${filtered}${broken}`);
    if (this.code === EXIT_NOTHING) {
      stderr.line("torito: no tests: they are functions test_* in files *.test.ts below src/\n");
    }
  }

  get code(): number {
    if (this.#failed + this.#brokenFiles > 0) return EXIT_ERRORS;
    return this.#passed > 0 ? 0 : EXIT_NOTHING;
  }

  #line(text: string): void {
    void stdout.write(`${text}\n`);
  }
}

/** A machine that cannot be made is the user's error, not each test's. */
async function fits(image: GuestImage, options: Partial<MachineOptions>): Promise<void> {
  const guest = await bootGuest(image, options).catch((error: Error) => {
    throw new CliError(error.message);
  });
  guest.machine.dispose();
}

/** Names are shown with spaces; the filter may have either. */
function isWanted(name: string, filter: string | null): boolean {
  return filter === null || name.replaceAll("_", " ").includes(filter.replaceAll("_", " "));
}
