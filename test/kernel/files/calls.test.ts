// The guest's file system against the real device over a temporary directory; the tests themselves
// are AssemblyScript (test/guest/files.ts).
import { execFileSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FsDevice, type FsOptions } from "../../../host/node/devices.ts";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { Files } from "../../../host/ports/files.ts";
import { compileGuest, type GuestImage, runGuest } from "../../support/guest.ts";

const BIG = 3 * 1024 * 1024 + 5;
const GIB = 1024 ** 3;
const images = {
  calls: await compileGuest("test/guest/files.ts"),
  cache: await compileGuest("test/guest/files-cache.ts"),
};
const namesOf = (image: GuestImage) =>
  WebAssembly.Module.exports(image.module)
    .map(({ name }) => name)
    .filter((name) => name.startsWith("test_"));
let root = "";

/** The directory that the guest's tests expect, in `site`; `other` is a second share. */
function populate(): void {
  const site = join(root, "site");
  const file = (name: string, text: string | Uint8Array) =>
    fs.writeFileSync(join(site, name), text);
  const link = (name: string, target: string) => fs.symlinkSync(target, join(site, name));
  for (const name of ["dir/sub", "many"]) fs.mkdirSync(join(site, name), { recursive: true });
  fs.mkdirSync(join(root, "other"));
  fs.writeFileSync(join(root, "other/only-here"), "here");
  file("hello.txt", "hello, world\n");
  fs.chmodSync(join(site, "hello.txt"), 0o640);
  fs.utimesSync(join(site, "hello.txt"), 1_700_000_000.5, 1_700_000_000.5);
  file("empty", "");
  file("changing", "old");
  file("turning", "x");
  file("dir/b.txt", "b text");
  file("dir/sub/deep.txt", "deep");
  file("x".repeat(255), "xxx");
  file(
    "big.bin",
    Uint8Array.from({ length: BIG }, (_, i) => i * 7 + (i >> 8)),
  );
  file("huge.bin", "");
  fs.truncateSync(join(site, "huge.bin"), 5 * GIB - 3);
  fs.appendFileSync(join(site, "huge.bin"), "end");
  for (let i = 0; i < 3000; i++) file(`many/f${String(i).padStart(4, "0")}`, i % 2 ? "12" : "1");
  execFileSync("mkfifo", [join(site, "fifo")]);
  link("to-hello", "hello.txt");
  link("to-dir", "dir");
  link("to-sub", "dir/sub");
  link("dir/up", "../hello.txt");
  link("dir/absolute", "/dir/b.txt");
  link("dangling", "nothing/there");
  link("outside", "../../../../../../etc/passwd");
  link("loop", "loop");
  link("long-a", `${"./".repeat(2043)}hello.txt`);
  link("chain1", "hello.txt");
  for (let i = 2; i <= 41; i++) link(`chain${i}`, `chain${i - 1}`);
}

/** Does to /changing and /turning what the guest asks for by looking these names up. */
const changes: Record<string, (site: string) => void> = {
  "host-please-grow": (site) => fs.appendFileSync(join(site, "changing"), "+more"),
  "host-please-replace": (site) => {
    fs.writeFileSync(join(site, "changing.new"), "n");
    fs.renameSync(join(site, "changing.new"), join(site, "changing"));
  },
  "host-please-remove": (site) => fs.rmSync(join(site, "changing")),
  "host-please-turn": (site) => {
    fs.rmSync(join(site, "turning"));
    fs.mkdirSync(join(site, "turning"));
    fs.writeFileSync(join(site, "turning/inside"), "in");
  },
};

/** The host's files, with the changes above, counting the inodes that are held for the guest. */
function observedFiles(): { files: Files; held: () => number; most: () => number } {
  const real = hostFiles();
  let held = 0;
  let most = 0;
  const files: Files = Object.assign(Object.create(real), {
    openAt: undefined, // so that every file that is known is held
    peek: (directory: number, name: Uint8Array) => {
      changes[Buffer.from(name).toString("latin1")]?.(join(root, "site"));
      return real.peek(directory, name);
    },
    hold: (directory: number, name: Uint8Array) => {
      const found = real.hold(directory, name);
      held++;
      most = Math.max(most, held);
      return found;
    },
    drop: (inode: number) => {
      held--;
      real.drop(inode);
    },
  });
  for (const key of ["descriptorsMax", "root", "stat", "access", "statfs", "readlink"] as const) {
    Object.assign(files, { [key]: real[key].bind(real) });
  }
  for (const key of ["list", "open", "read", "close"] as const) {
    Object.assign(files, { [key]: real[key].bind(real) });
  }
  return { files, held: () => held, most: () => most };
}

async function run(image: GuestImage, name: string, options: Partial<FsOptions> = {}) {
  const share = (tag: string, files: Files) =>
    new FsDevice({ directory: join(root, tag), tag, readOnly: true, files, ...options });
  const observed = observedFiles();
  const devices = [share("other", hostFiles()), share("site", observed.files)];
  await runGuest(image, name, { devices, memoryBytes: 4 * 1024 * 1024 });
  return observed;
}

beforeAll(() => {
  root = fs.mkdtempSync(join(tmpdir(), "torito-files-"));
  populate();
});
afterAll(() => {
  fs.rmSync(root, { recursive: true });
});

const limited = "test_a_host_with_a_small_table_gets_its_nodes_back_fault_33";

for (const [file, image] of Object.entries(images)) {
  describe(`the ${file} of the file system`, () => {
    for (const name of namesOf(image).filter((each) => each !== limited)) {
      test(name.replace(/^test_/, "").replaceAll("_", " "), async () => {
        await run(image, name);
      });
    }
  });
}

describe("calls that the host sees", () => {
  test("U5 it holds about as many inodes as the guest's cache has names, never more", async () => {
    const name = "test_thousands_of_files_leave_the_host_a_bounded_table_fault_33";
    const { most } = await run(images.cache, name, { limits: { nodesMax: 4096 } });
    expect(most()).toBeGreaterThan(900);
    expect(most()).toBeLessThanOrEqual(1024);
  });

  test("ENFILE with 200 nodes makes the guest forget, and its open files live on", async () => {
    const { most } = await run(images.cache, limited, { limits: { nodesMax: 200 } });
    expect(most()).toBeLessThanOrEqual(200);
  });

  test("U16 with a time-out of 0 it is asked every time, and everything works", async () => {
    const eager = { attrTimeoutMs: 0 };
    await run(images.calls, "test_stat_tells_what_the_host_has", eager);
    await run(images.cache, "test_opening_and_closing_leaves_no_trace", eager);
  });
});
