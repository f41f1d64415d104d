// The core of the host runs without Node: bundled for a browser, it boots a guest in a context that
// has WebAssembly and no global of Node.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import vm from "node:vm";
import { rolldown } from "rolldown";
import { beforeAll, expect, test } from "vitest";
import type * as Core from "../../host/core.ts";
import type { FirmwareLibrary } from "../../host/ports/firmware.ts";
import type { Acceptor, Sockets } from "../../host/ports/sockets.ts";
import { compileOnce } from "../support/compiled.ts";
import { savedGuest } from "../support/guest.ts";
import { SimulatedFiles } from "../support/simulation-files.ts";
import { Client } from "../support/web-server-script.ts";

/** All that the context has besides the language: what every browser has as well. */
const GLOBALS = { TextDecoder, TextEncoder, URL, performance };

let code: string;
let externals: string[];

beforeAll(async () => {
  const bundle = await rolldown({ input: "host/core.ts", platform: "browser", logLevel: "silent" });
  const { output } = await bundle.generate({ format: "iife", name: "core" });
  await bundle.close();
  expect(output).toHaveLength(1);
  ({ code } = output[0]);
  // Parts that are loaded when they are asked for are in the same file here.
  const { imports, dynamicImports, fileName } = output[0];
  externals = [...imports, ...dynamicImports].filter((name) => name !== fileName);
});

const firmware: FirmwareLibrary = {
  write: (_fd, bytes) => bytes,
  time: () => 0n,
  random: (into) => into.fill(4),
};

/** The core, as a browser would load it. */
function load(): typeof Core {
  const context = vm.createContext({ ...GLOBALS });
  vm.runInContext(
    "for (const name of ['process', 'Buffer', 'setImmediate']) " +
      "if (name in globalThis) throw new Error(name);",
    context,
  );
  return vm.runInContext(`${code}; core;`, context);
}

test("the bundle imports nothing and uses no global of Node", () => {
  expect(externals).toEqual([]);
  expect(code).not.toMatch(/["']node:/);
  expect(code).not.toMatch(
    /\b(?:Buffer\.(?:from|alloc|concat|compare)|process\.|setImmediate|require)\b/,
  );
});

test("a machine boots in it, prints and powers off", async () => {
  const { Machine, ManualClock } = load();
  let printed = "";
  const machine = await Machine.create(
    {
      image: (await compileOnce("apps/hello-world/main.ts", "release")).wasm,
      console: (text) => {
        printed += text;
      },
    },
    { clock: new ManualClock(), loadFirmware: async () => firmware },
  );
  machine.boot();
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect(printed).toContain("Hello World");
});

test("a machine in it is saved, goes back, and goes on from bytes", async () => {
  const { decodeSnapshot, encodeSnapshot, Machine, MachinePool, ManualClock } = load();
  const hash = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
  const clock = new ManualClock();
  const platform = { clock, loadFirmware: async () => firmware, sha256: hash };
  const image = (await savedGuest("test/guest/snapshots.ts")).wasm;
  const machine = await Machine.create({ image, memoryBytes: 4 << 20 }, platform);
  machine.boot();
  machine.call("sleepTenSeconds");
  const snapshot = await machine.snapshot();
  clock.advance(10_000);
  expect(machine.call("awake")).toBe(1);
  machine.rewind(snapshot);
  expect(machine.call("awake")).toBe(0);
  const again = decodeSnapshot(encodeSnapshot(snapshot, hash), hash);
  const clone = await Machine.restore(again, { image }, platform);
  clock.advance(10_000);
  expect([machine.call("awake"), clone.call("awake")]).toEqual([1, 1]);
  const pool = new MachinePool(snapshot, { size: 1, make: () => ({}) }, (from, made) =>
    Machine.restore(from, made, platform),
  );
  const one = await pool.take();
  expect(one.machine.call("awake")).toBe(0);
  one.release();
  pool.close();
});

test("a web server in it serves a file of memory to a client", async () => {
  const { FsDevice, Machine, ManualClock, VsockDevice } = load();
  let acceptor = {} as Acceptor;
  const sockets: Sockets = {
    async listen(address, _backlog, own) {
      acceptor = own;
      return { address, close() {} };
    },
    connect() {
      throw new Error("nothing connects");
    },
  };
  const content = readFileSync("package.json");
  const files = new SimulatedFiles(new Map([["/a.json", { content, mtimeNs: 0n }]]));
  const clock = new ManualClock();
  const vsock = new VsockDevice({ sockets });
  const machine = await Machine.create(
    {
      image: (await compileOnce("test/guest/web-server.ts", "release", { kind: "both" })).wasm,
      parameters: "root=site",
      devices: [new FsDevice({ directory: "/", tag: "site", files }), vsock],
    },
    { clock, loadFirmware: async () => firmware },
  );
  machine.boot();
  await vsock.publish({ port: 80, guestPort: 80 });
  const client = new Client();
  acceptor.accepted(client);
  clock.advance(10);
  client.get("/a.json");
  clock.advance(10);
  expect(client.received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(client.received).toContain(content.toString());
  machine.dispose();
});
