// Output of torito arrives, or a failure is reported: on slow readers, on none, on full disks.
import { spawnSync } from "node:child_process";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Watchdog } from "../../../host/node/watchdog.ts";
import {
  buildCommand,
  killCommands,
  type Result,
  start,
  startWith,
} from "../../support/command.ts";
import { guest, print } from "../../support/wat.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-out-"));
const image = (name: string) => join(folder, `${name}.wasm`);
const LINE = `${"x".repeat(63)}\\n`;
const text = (lines: number) => `${"x".repeat(63)}\n`.repeat(lines);

beforeAll(async () => {
  buildCommand();
  const fields = `(data (i32.const 0x10000) "${LINE.repeat(1024)}")`;
  const page = print(0x10000, 65536);
  const times = (count: number, body: string) => `
    (loop $next ${body}
      (i32.store (i32.const 0x4000) (i32.add (i32.load (i32.const 0x4000)) (i32.const 1)))
      (br_if $next (i32.lt_u (i32.load (i32.const 0x4000)) (i32.const ${count}))))`;
  const off = "(call $proc_exit (i32.const 0))";
  const memory = "4 65536";
  const images = {
    mebibyte: guest({ fields, memory, boot: `${times(16, page)} ${off}` }),
    endless: guest({ fields, memory, run: `${page} i32.const 1` }),
    gibibyte: guest({ fields, memory, boot: `${times(16384, page)} ${off}` }),
    floods: guest({ fields, memory, boot: times(16, page) }),
    panics: guest({ fields, memory, boot: `${page} unreachable` }),
    halts: guest({ fields, memory, boot: page }),
    silent: guest({ boot: off }),
  };
  for (const [name, bytes] of Object.entries(images)) writeFileSync(image(name), await bytes);
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

describe("a reader that is slow", () => {
  test("gets everything printed before power-off", async () => {
    const words = ["run", image("mebibyte"), "--log-level", "debug"];
    const { until, read, end } = startWith({ late: true }, ...words);
    await until(/the guest has ended/);
    read();
    const { code, out, err } = await end;
    expect(code).toBe(0);
    expect(out).toBe(text(16 * 1024));
    expect(err).not.toContain("ready in");
  });

  test("gets everything printed before a panic, or before the guest halted", async () => {
    for (const [name, code] of [
      ["panics", 70],
      ["halts", 0],
    ] as const) {
      const { child, until, read, end } = startWith({ late: true }, "run", image(name));
      await until(/ready in|panic/);
      if (name === "halts") child.kill("SIGTERM");
      read();
      expect(await end).toMatchObject({ code, out: text(1024) });
    }
  });

  const linux = process.platform === "linux";
  test.runIf(linux)("that never reads costs no memory, and signals work", async () => {
    for (const name of ["endless", "gibibyte"]) {
      const { child, until, end } = startWith({ late: true }, "run", image(name));
      await until(/nobody reads: the guest has to wait|ready in/);
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      expect(Number(/VmHWM:\s+(\d+)/.exec(status)![1])).toBeLessThan(250 * 1024);
      child.kill("SIGTERM");
      await until(/SIGTERM: finishing|ready/);
      child.kill("SIGTERM");
      child.stdout!.resume();
      expect((await end).code).toBeOneOf([0, 143]);
    }
  });
});

test("waits for a reader that never reads no longer than a signal's grace", async () => {
  const words = ["run", image("floods"), "--grace", "200ms"];
  const { child, until, read, end } = startWith({ late: true }, ...words);
  await until(/ready in/);
  child.kill("SIGTERM");
  await until(/error: stdout: nobody read the last \d+ bytes/);
  read();
  expect((await end).code).toBe(0);
});

test("a watchdog without a thread is reported before anything runs", async () => {
  await expect(new Watchdog(1000, "/none/watchdog-worker.js").watching).rejects.toThrow(
    "watchdog-worker.js",
  );
});

test("does not fail when the reader goes away", async () => {
  const { child, end } = startWith({ late: true }, "run", image("mebibyte"));
  child.stdout!.destroy();
  expect(await end).toMatchObject({ code: 0, err: expect.not.stringContaining("stdout") });
});

/** Runs with stdout (1) or stderr (2) on a full disk. */
async function onFullDisk(stream: 1 | 2, ...words: string[]): Promise<Result> {
  const full = openSync("/dev/full", "w");
  const stdio = ["ignore", stream === 1 ? full : "pipe", stream === 2 ? full : "pipe"] as const;
  const { end } = startWith({ stdio: [...stdio] }, ...words);
  closeSync(full);
  return end;
}

describe.runIf(process.platform === "linux")("a full disk", () => {
  test.each(["run", "--help", "--version"])(
    "under stdout is reported on stderr and by the exit code: %s",
    async (word) => {
      const words = word === "run" ? [word, image("mebibyte")] : [word];
      const { code, err } = await onFullDisk(1, ...words);
      expect(code).toBe(69);
      expect(err).toMatch(/^error: stdout ends here: ENOSPC.*$/m);
    },
  );

  test("that takes a part of the output is reported as well", async () => {
    // RLIMIT_FSIZE cuts a write as a disk does that is nearly full; in blocks of 512 bytes.
    const path = join(folder, "part");
    const words = [process.execPath, "dist/host/cli.js", "run", image("mebibyte")].join(" ");
    const command = `trap '' XFSZ; ulimit -f 100; exec ${words} > ${path}`;
    const { status, stderr } = spawnSync("sh", ["-c", command], { encoding: "utf8" });
    expect(stderr).toMatch(/^error: stdout ends here: EFBIG.*$/m);
    expect(status).toBe(69);
    expect(readFileSync(path, "utf8")).toBe(text(16 * 1024).slice(0, 51200));
  });

  test("is reported in JSON on request", async () => {
    const { err } = await onFullDisk(1, "run", image("mebibyte"), "--log-format", "json");
    const told = err
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line).msg);
    expect(told).toContainEqual(expect.stringMatching(/^stdout ends here: ENOSPC/));
  });

  test("under stderr is reported by the exit code, and the guest's own code comes first", async () => {
    const stats = await onFullDisk(2, "run", image("mebibyte"), "--stats");
    expect(stats).toMatchObject({ code: 69, out: text(16 * 1024) });
    expect((await onFullDisk(2, "run", image("panics"))).code).toBe(70);
  });

  test.each(["--pcap", "--trace"])(
    "under %s is reported on stderr and by the exit code",
    async (it) => {
      const { code, err } = await start("run", image("silent"), it, "/dev/full").end;
      expect(code).toBe(69);
      expect(err).toMatch(/error: the (capture|trace) \/dev\/full ends here: ENOSPC/);
    },
  );
});
