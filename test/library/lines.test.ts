// LineReader of the guest library, over vsock.
import { afterAll, beforeAll, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { compileOnce } from "../support/compiled.ts";

let machine: Machine;
const vsock = new VsockDevice();
beforeAll(async () => {
  const { wasm, map } = await compileOnce("test/guest/lines.ts", "debug", { kind: "application" });
  const image = new WebAssembly.Module(wasm);
  machine = await Machine.create({ image, sourceMap: map, devices: [vsock] });
  machine.boot();
});
afterAll(() => machine.dispose());

/** All that is answered to the pieces, which are sent one after another. */
async function ask(...pieces: string[]): Promise<string> {
  const { readable, writable } = await vsock.connect(7);
  const writer = writable.getWriter();
  for (const piece of pieces) await writer.write(new TextEncoder().encode(piece));
  await writer.close();
  return new Response(readable).text();
}

test("lines end with LF or CR LF, and come in any pieces", async () => {
  expect(await ask("a\nbc\r\n\n\r\n")).toBe("1 a\n2 bc\n0 \n0 \nerror 0");
  expect(await ask("h", "e", "llo\r", "\nwo", "rld\n")).toBe("5 hello\n5 world\nerror 0");
  expect(await ask("a\rb\n")).toBe("3 a\rb\nerror 0");
});

test("lines are UTF-8", async () => {
  expect(await ask("grün €\n")).toBe("6 grün €\nerror 0");
});

test("a line that the end cuts off, or that is too long, is an error", async () => {
  expect(await ask("a\nhalf")).toBe("1 a\nerror -71");
  expect(await ask(`${"x".repeat(15)}\n`)).toBe(`15 ${"x".repeat(15)}\nerror 0`);
  expect(await ask(`${"x".repeat(16)}\n`)).toBe("error -90");
});
