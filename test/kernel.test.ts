// Unit tests of the kernel, written in AssemblyScript (test/guest): every exported test_* runs on a
// machine of its own that has just booted; every panics_* must end in the panic that is named here.
import { describe, expect, test } from "vitest";
import { GuestPanic } from "../host/hypercall.ts";
import { compileGuest, type GuestImage, runGuest } from "./guest.ts";

const files = {
  memory: await compileGuest("test/guest/memory.ts"),
  threads: await compileGuest("test/guest/threads.ts"),
  basics: await compileGuest("test/guest/basics.ts"),
};

const panics: Record<string, string> = {
  panics_double_free: "memory: double free",
  panics_double_free_after_coalescing: "memory: double free",
  panics_foreign_pointer: "memory: foreign pointer",
  panics_pointer_below_the_heap: "memory: foreign pointer",
  panics_overrun: "memory: overrun",
  panics_wait_outside_a_thread: "scheduler: wait outside a thread",
  panics_scheduler_entered_from_a_thread: "scheduler: entered twice",
  panics_save_area_overflow: "thread: save area overflow",
};

const exportsOf = (image: GuestImage, prefix: string) =>
  WebAssembly.Module.exports(image.module)
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix));
const sentence = (name: string) => name.replace(/^test_/, "").replaceAll("_", " ");

for (const [file, image] of Object.entries(files)) {
  describe(`test/guest/${file}.ts`, () => {
    for (const name of exportsOf(image, "test_")) {
      test(sentence(name), async () => {
        await runGuest(image, name, {
          parameters: "port=80 root=site flag bad=8x empty= port=81",
          memoryBytes: (file === "threads" ? 256 : 16) * 1024 * 1024,
        });
      });
    }
    for (const name of exportsOf(image, "panics_")) {
      test(`${sentence(name)}: ${panics[name]}`, async () => {
        const failure = await runGuest(image, name).catch((error: unknown) => error);
        expect(failure).toBeInstanceOf(GuestPanic);
        expect((failure as Error).message).toContain(panics[name]);
        expect((failure as Error).stack).toMatch(/kernel\/[\w/]+\.ts:\d+:\d+/);
      });
    }
  });
}

test("the console test's lines arrive as UTF-8, and control bytes as question marks", async () => {
  const image = files.basics;
  const name = "test_the_console_writes_utf_8_and_hides_what_is_not_text";
  const { lines } = await runGuest(image, name);
  expect(lines.join("")).toContain("café €2 😀 0 18446744073709551615\nhi??!\n");
});
