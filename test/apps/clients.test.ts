// The clients of the applications, as users run them: over TCP and over the AF_UNIX path, ours and
// socat.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import type { VsockOptions } from "../../host/node/devices.ts";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { witness } from "../support/outside-program.ts";

const machines: Machine[] = [];
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill();
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

async function boot(app: string, parameters = "", options: VsockOptions = {}) {
  const device = new VsockDevice(options);
  const lines: string[] = [];
  const machine = await Machine.create({
    image: readFileSync(`build/${app}.wasm`),
    memoryBytes: 16 * 1024 * 1024,
    parameters,
    devices: [device],
    console: (text) => void lines.push(text),
  });
  machines.push(machine);
  return { device, machine, lines };
}

/** Both ways to reach a port of the guest: published on TCP, and by hybrid vsock. */
async function serve(app: string, guestPort: number, parameters = "", options?: VsockOptions) {
  const { device, machine } = await boot(app, parameters, options);
  machine.boot();
  await device.probe(guestPort);
  const path = `${makeFolder()}/vsock`;
  await device.publishPath(path);
  const { port } = await device.publish({ port: 0, guestPort });
  return { path, targets: [String(port), path] };
}

/** A child process, with `input` on its standard input; to its end. */
async function run(command: string, args: readonly string[], input = "") {
  const child = spawn(command, args);
  children.push(child);
  const said = { out: "", err: "" };
  child.stdout.on("data", (chunk) => {
    said.out += chunk;
  });
  child.stderr.on("data", (chunk) => {
    said.err += chunk;
  });
  child.stdin.on("error", () => {}).end(input);
  const [code] = await once(child, "close");
  return { ...said, code };
}

const client = (app: string, ...args: string[]) => [`apps/${app}/client.mjs`, ...args];

test("echo gives its client everything back", async () => {
  const { targets } = await serve("echo", 7);
  const input = "Grüße\n".repeat(50_000);
  for (const target of targets) {
    expect(await run("node", client("echo", target), input)).toEqual({
      out: input,
      err: "",
      code: 0,
    });
  }
});

test("echo gives its client messages back, one by one", async () => {
  const { targets } = await serve("echo", 7, "type=seqpacket", { seqpacket: [7] });
  const input = `one\ntwo words\n${"x".repeat(100_000)}\n`;
  for (const target of targets) {
    const said = await run("node", client("echo", target, "--messages"), input);
    expect(said).toEqual({ out: input, err: "", code: 0 });
  }
});

test("the hash table keeps what its client gives it, whatever it is", async () => {
  const { targets } = await serve("hash-table-server", 80);
  const ask = async (target: string, ...args: string[]) =>
    (await run("node", client("hash-table-server", target, ...args))).out;
  for (const target of targets) {
    expect(await ask(target, "a/b = c", "50 % é\n")).toBe("OK\n");
    expect(await ask(target, "a/b = c")).toBe("50 % é\n\n");
    expect(await ask(target)).toBe("1\n");
  }
  const missing = await run("node", client("hash-table-server", targets[0] as string, "nothing"));
  expect(missing).toEqual({ out: "", err: "Not Found\n", code: 1 });
});

test("clients say what they want, and who is not there", async () => {
  const { path } = await serve("hash-table-server", 80);
  for (const app of ["echo", "hash-table-server"]) {
    expect(await run("node", client(app))).toMatchObject({
      code: 2,
      err: expect.stringMatching(/^usage: /),
    });
    const nobody = await run("node", client(app, `${path}.none`));
    expect(nobody).toMatchObject({ code: 1, err: expect.stringContaining("ENOENT") });
  }
  const closed = await run("node", client("echo", path), "x");
  expect(closed).toMatchObject({ code: 1, err: `${path}: nobody listens on port 7\n` });
});

/** Listens on the host for connections of the guest to its port 7. */
async function pingPong(listen: (path: string) => ChildProcess, type: string) {
  const options = type === "seqpacket" ? { seqpacket: [7] } : {};
  const { device, machine, lines } = await boot("ping-pong", `type=${type} count=20`, options);
  const path = `${makeFolder()}/vsock`;
  await device.publishPath(path);
  const peer = listen(`${path}_7`);
  children.push(peer);
  let said = "";
  for (const output of [peer.stdout, peer.stderr]) {
    output?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
  }
  await until(() => said.includes("listening on")); // the path alone is there a moment before
  machine.boot();
  expect(await machine.exited).toEqual({ kind: "power-off", code: 0 });
  expect(lines.join("")).toContain("ping-pong: 20 round trips of 64 bytes");
}

test.each(["stream", "seqpacket"])("ping-pong has a peer on the host, for type=%s", (type) =>
  pingPong((path) => spawn("node", ["apps/ping-pong/peer.mjs", path]), type),
);

witness("socat", "ping-pong has a peer that is not ours", () =>
  pingPong((path) => spawn("socat", ["-d", "-d", `UNIX-LISTEN:${path}`, "PIPE"]), "stream"),
);

witness("socat", "echo has a client that is not ours", async () => {
  const { path } = await serve("echo", 7);
  const said = await run("socat", ["-t5", "-", `UNIX-CONNECT:${path}`], "CONNECT 7\nhello");
  expect(said.out).toMatch(/^OK \d+\nhello$/);
});
