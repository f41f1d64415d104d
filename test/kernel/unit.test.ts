// Unit tests of the kernel, written in AssemblyScript (test/guest): every exported test_* runs on a
// machine of its own that has just booted; every panics_* must end in the panic that is named here.
import { describe, expect, test } from "vitest";
import { GuestPanic } from "../../host/hypercall.ts";
import { ManualClock } from "../../host/manual-clock.ts";
import { Machine } from "../../host/node/machine.ts";
import { compileGuest, type GuestImage, runGuest } from "../support/guest.ts";

const NUMBERS = "wide=4294967296 long=18446744073709551616";
const files = {
  memory: await compileGuest("test/guest/memory.ts"),
  threads: await compileGuest("test/guest/threads.ts"),
  endings: await compileGuest("test/guest/endings.ts"),
  basics: await compileGuest("test/guest/basics.ts"),
  net: await compileGuest("test/guest/net.ts"),
};

const panics: Record<string, string> = {
  panics_double_free: "memory: double free",
  panics_double_free_after_coalescing: "memory: double free",
  panics_foreign_pointer: "memory: foreign pointer",
  panics_pointer_below_the_heap: "memory: foreign pointer",
  panics_overrun: "memory: overrun",
  panics_a_false_assertion: "said",
  panics_wait_outside_a_thread: "scheduler: wait outside a thread",
  panics_scheduler_entered_from_a_thread: "scheduler: entered twice",
  panics_save_area_overflow: "thread: save area overflow",
  panics_a_node_in_two_lists: "in a list",
  panics_a_packet_that_is_freed_in_a_queue: "in a list",
  panics_a_yield_in_an_atomic_call: "yield in an atomic call",
  panics_a_step_that_no_socket_takes: "no such step",
  panics_a_connection_without_a_window: "no window",
  panics_more_consumed_than_received: "more than there is",
};

/** Faults of Toro that a test would have found there. */
const faults: Record<string, string> = {
  test_a_wait_that_nobody_ends_times_out: "3",
  test_sleepers_wake_in_the_order_of_their_deadlines: "3",
  test_neighbours_coalesce_whatever_the_order_of_their_frees: "43",
  test_133124_bytes_cost_133124_bytes: "43",
  test_ten_thousand_threads_live_at_once_and_leave_no_trace: "44",
  test_a_thread_ends_itself_in_the_middle: "45",
  test_a_true_assertion_goes_on: "47",
  test_a_line_longer_than_the_buffer_of_the_console_arrives_whole: "41",
};

const exportsOf = (image: GuestImage, prefix: string) =>
  WebAssembly.Module.exports(image.module)
    .map(({ name }) => name)
    .filter((name) => name.startsWith(prefix));
const sentence = (name: string) =>
  name.replace(/^test_/, "").replaceAll("_", " ") +
  (name in faults ? ` (Toro fault ${faults[name]})` : "");

for (const [file, image] of Object.entries(files)) {
  describe(`test/guest/${file}.ts`, () => {
    for (const name of exportsOf(image, "test_")) {
      test(sentence(name), async () => {
        await runGuest(image, name, {
          parameters: `port=80 root=site flag bad=8x empty= port=81 ${NUMBERS}`,
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

test("the heap is sound up to the last page of 4 GiB", async () => {
  await runGuest(files.memory, "all_of_4_GiB", { memoryBytes: 4 * 1024 ** 3 });
});

test("every file of tests has tests, and every panic its words (Toro fault 55)", () => {
  const all = Object.values(files);
  for (const image of all) expect(exportsOf(image, "test_").length).toBeGreaterThan(5);
  const names = all.flatMap((image) => exportsOf(image, "panics_"));
  expect(names.sort()).toEqual(Object.keys(panics).sort());
  const tests = all.flatMap((image) => exportsOf(image, "test_"));
  expect(Object.keys(faults).filter((name) => !tests.includes(name))).toEqual([]);
});

test("the console test's lines arrive as UTF-8, and control bytes as question marks", async () => {
  const image = files.basics;
  const name = "test_the_console_writes_utf_8_and_hides_what_is_not_text";
  const { lines } = await runGuest(image, name);
  expect(lines.join("")).toContain("café €2 😀 0 18446744073709551615\nhi??!\n");
});

test("a line longer than the console's buffer arrives whole", async () => {
  const name = "test_a_line_longer_than_the_buffer_of_the_console_arrives_whole";
  const { lines } = await runGuest(files.basics, name);
  expect(lines.join("")).toContain(`${"long".repeat(1000)}\n`);
});

test("a guest in which every thread waits is not entered again, and nothing is scheduled (Toro fault 2)", async () => {
  const clock = new ManualClock();
  const machine = await Machine.create({
    image: files.threads.module,
    clock,
    memoryBytes: 1 << 24,
  });
  machine.boot();
  machine.call("idle");
  while (clock.settle() > 0);
  const switches = machine.call("switches");
  for (let s = 0; s < 1000; s++) {
    clock.advance(1000);
    expect(clock.deferred).toBe(0);
  }
  expect(clock.timers).toBe(0);
  expect(machine.call("switches")).toBe(switches);
  expect(machine.call("unfinished")).toBe(3);
  machine.dispose();
});
