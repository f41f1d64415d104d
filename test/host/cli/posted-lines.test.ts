// Lines of an access log on their way from the thread of a replica to the file.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test, vi } from "vitest";
import { type PostedBatch, PostedLines } from "../../../host/cli/replicas/posted.ts";
import { FULL_MAX, LogFile } from "../../../host/cli/service/log-file.ts";
import { type LineSink, LogOutput } from "../../../host/cli/service/log-output.ts";
import { fixed, LINES_BYTES, SLACK_BYTES } from "../../../host/service/line-buffer.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-posted-"));
/** Of 100 bytes. */
const line = (i: number) => `${`${i}`.padStart(9, "0")}${"x".repeat(90)}\n`;
const put = (log: Pick<LineSink, "room">, i: number) =>
  log.room(100 + SLACK_BYTES)?.put(fixed(line(i)));
/** Lines that a buffer takes. */
const EACH = Math.floor((LINES_BYTES - SLACK_BYTES) / 100);

afterAll(() => rmSync(folder, { recursive: true }));

/** Lines that reach the other thread as messages do: their bytes are the other thread's alone. */
function posted() {
  const batches: PostedBatch[] = [];
  const log = new PostedLines((batch) => {
    batches.push(structuredClone(batch, { transfer: [batch.bytes.buffer] }));
  });
  return { log, batches };
}

test("are posted when a buffer is full, or a moment later", async () => {
  const { log, batches } = posted();
  for (let i = 0; i <= EACH; i++) put(log, i);
  expect(batches).toMatchObject([{ lines: EACH, bytes: { length: 100 * EACH } }]);
  await vi.waitUntil(() => batches.length > 1);
  expect(batches[1]).toMatchObject({ lines: 1 });
  expect(Buffer.from(batches[1]?.bytes ?? []).toString()).toBe(line(EACH));
  await log.flushed();
  expect(batches).toHaveLength(2); // nothing is left
});

test("take 2 MiB that nobody has read; those beyond are lost and counted, once", async () => {
  const { log, batches } = posted();
  const output = new LogOutput((path) => (path === null ? null : log), "log");
  // A buffer more than its number fits, for none is quite full.
  const room = Math.floor((FULL_MAX * LINES_BYTES) / (100 * EACH)) * EACH + EACH;
  for (let i = 0; i < room + 10; i++) put(output, i);
  expect(output.dropped).toBe(10);
  const bytes = batches.reduce((sum, batch) => sum + batch.bytes.length, 0);
  expect(bytes).toBeLessThanOrEqual(FULL_MAX * LINES_BYTES);
  for (const path of ["other", null, "log"]) output.change(path).commit();
  output.change("other").cancel();
  expect(output.dropped).toBe(10);
  for (const batch of batches.splice(0)) log.logged(batch.bytes.length);
  put(output, 1);
  await vi.waitUntil(() => batches.length > 0);
  expect(batches.map(({ lines }) => lines)).toEqual([1]);
  expect(output.dropped).toBe(10);
});

test("come to the file as they are, whole batches of them or none", async () => {
  const path = join(folder, "log");
  const file = new LogFile(path, () => {});
  const output = new LogOutput(() => file, path);
  const bytes = Buffer.concat(Array.from({ length: EACH }, (_, i) => Buffer.from(line(i))));
  const take = (lines: number) =>
    output.room(100 * lines, lines)?.append(bytes.subarray(0, 100 * lines));
  for (let i = 0; i <= FULL_MAX; i++) take(EACH);
  expect(output.dropped).toBe(0);
  take(EACH - 7);
  expect(output.dropped).toBe(EACH - 7);
  await output.flushed();
  expect(readFileSync(path, "latin1")).toBe(bytes.toString("latin1").repeat(FULL_MAX + 1));
  await file.close();
});
