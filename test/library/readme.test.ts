// The appliance of README: it compiles as it stands, and does what it says.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { compile } from "../../tools/compile.mjs";

const folder = mkdtempSync(join(tmpdir(), "torito-readme-"));
afterAll(() => rmSync(folder, { recursive: true }));

test("README's appliance keeps notes, and takes few lines", async () => {
  const blocks = [...readFileSync("README.md", "utf8").matchAll(/^```ts\n([\s\S]*?)^```$/gm)];
  const texts = blocks.map(([, text]) => text as string);
  const source = texts.find((text) => text.includes('"torito/guest"')) as string;
  writeFileSync(join(folder, "main.ts"), source);
  const { wasm } = await compile("main.ts", "release", { folder });
  const vsock = new VsockDevice();
  const machine = await Machine.create({ image: wasm, devices: [vsock] });
  machine.boot();
  const url = "http://guest/notes/today";
  expect(await (await machine.fetch(url)).text()).toBe("nothing yet");
  expect((await machine.fetch(url, { method: "PUT", body: "buy milk €" })).status).toBe(204);
  expect(await (await machine.fetch(url)).text()).toBe("buy milk €");
  machine.dispose();
});
