// machine.fetch() to real guests: the web server, and the table of hash-table-server.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { FsDevice, VsockDevice } from "../../../host/node/devices.ts";
import { Machine } from "../../../host/node/machine.ts";

const URL = "http://guest";

async function boot(app: string, directory: string | null): Promise<[Machine, VsockDevice]> {
  const vsock = new VsockDevice();
  const site = directory === null ? [] : [new FsDevice({ directory, tag: "site" })];
  const machine = await Machine.create({
    image: readFileSync(`build/${app}.wasm`),
    memoryBytes: 32 * 1024 * 1024,
    parameters: "root=site",
    devices: [vsock, ...site],
  });
  machine.boot();
  await vsock.probe(80);
  return [machine, vsock];
}

describe("the web server", () => {
  const directory = mkdtempSync(join(tmpdir(), "torito-fetch-"));
  const large = Buffer.alloc(3_000_000, "0123456789");
  let machine: Machine;
  let vsock: VsockDevice;

  beforeAll(async () => {
    writeFileSync(join(directory, "index.html"), "<p>hello</p>");
    writeFileSync(join(directory, "large.bin"), large);
    [machine, vsock] = await boot("web-server", directory);
  });
  afterAll(() => {
    machine.dispose();
    rmSync(directory, { recursive: true });
  });

  test("serves a file, its head, a part of it, and not again", async () => {
    const whole = await machine.fetch(`${URL}/`);
    expect(whole.status).toBe(200);
    expect(whole.headers.get("content-type")).toMatch(/^text\/html/);
    expect(await whole.text()).toBe("<p>hello</p>");
    const head = await machine.fetch(`${URL}/index.html`, { method: "HEAD" });
    expect([head.status, head.headers.get("content-length")]).toEqual([200, "12"]);
    const part = await machine.fetch(`${URL}/`, { headers: { range: "bytes=3-7" } });
    expect([part.status, await part.text()]).toEqual([206, "hello"]);
    const since = whole.headers.get("last-modified") as string;
    const again = await machine.fetch(`${URL}/`, { headers: { "if-modified-since": since } });
    expect([again.status, again.body]).toEqual([304, null]);
    expect((await machine.fetch(`${URL}/missing`)).status).toBe(404);
    expect(vsock.stats.connections).toBe(1);
  });

  test("serves megabytes to many readers at once", async () => {
    const read = async () => {
      const response = await machine.fetch(`${URL}/large.bin`);
      return Buffer.from(await response.arrayBuffer()).equals(large);
    };
    expect(await Promise.all(Array.from({ length: 100 }, read))).toEqual(Array(100).fill(true));
  });

  test("is reset by a body that is cancelled, and serves on", async () => {
    for (let i = 0; i < 20; i++) await (await machine.fetch(`${URL}/large.bin`)).body?.cancel();
    expect(await (await machine.fetch(`${URL}/`)).text()).toBe("<p>hello</p>");
  });

  test("refuses on a port where nobody listens", async () => {
    const answer = machine.fetch(`${URL}/`, { guestPort: 81 });
    await expect(answer).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });
});

test("hash-table-server stores and returns a value, and refuses one once it has gone", async () => {
  const [machine] = await boot("hash-table-server", null);
  expect(await (await machine.fetch(`${URL}/key=a%20value`)).text()).toBe("OK\n");
  expect(await (await machine.fetch(`${URL}/key`)).text()).toBe("a%20value");
  machine.dispose();
  await expect(machine.fetch(`${URL}/key`)).rejects.toMatchObject({ code: "ENOTCONN" });
});

test("fetches from a machine that goes back before each request, whatever the method", async () => {
  const [machine, vsock] = await boot("hash-table-server", null);
  const snapshot = await machine.snapshot();
  for (let i = 0; i < 20; i++) {
    machine.rewind(snapshot);
    const init = { method: i % 2 === 0 ? "GET" : "POST" };
    expect((await machine.fetch(`${URL}/key`, init)).status).toBe(i % 2 === 0 ? 404 : 405);
    await machine.fetch(`${URL}/key=value`);
    expect(await (await machine.fetch(`${URL}/key`)).text()).toBe("value");
  }
  expect(vsock.stats.connections).toBeLessThan(3);
  machine.dispose();
});

test("fails requests under way when the machine ends, and says so to those after it", async () => {
  const directory = mkdtempSync(join(tmpdir(), "torito-fetch-"));
  writeFileSync(join(directory, "large.bin"), Buffer.alloc(3_000_000));
  const [machine] = await boot("web-server", directory);
  const response = await machine.fetch(`${URL}/large.bin`);
  const others = Promise.allSettled([1, 2, 3].map(() => machine.fetch(`${URL}/large.bin`)));
  await Promise.resolve();
  machine.dispose();
  await expect(response.arrayBuffer()).rejects.toMatchObject({ code: "ECONNRESET" });
  for (const other of await others) {
    expect(other).toMatchObject({ status: "rejected", reason: expect.any(TypeError) });
  }
  await expect(machine.fetch(`${URL}/`)).rejects.toThrow("the machine is gone");
  rmSync(directory, { recursive: true });
});

test("a machine without a vsock device says so", async () => {
  const image = readFileSync("build/hello-world.wasm");
  const machine = await Machine.create({ image });
  await expect(machine.fetch(`${URL}/`)).rejects.toThrow("the machine has no vsock device");
  machine.dispose();
});

test("a machine disposes of itself at the end of its scope, and reports the faults of the host", async () => {
  const image = readFileSync("build/hello-world.wasm");
  const machine = await Machine.create({ image });
  await machine[Symbol.asyncDispose]();
  expect(await machine.exited).toEqual({ kind: "disposed" });
  const console = () => {
    throw new Error("no paper");
  };
  const faulty = await Machine.create({ image, console });
  faulty.boot();
  await expect(faulty[Symbol.asyncDispose]()).rejects.toThrow("no paper");
});
