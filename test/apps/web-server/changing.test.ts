// WebServer while what it serves is cut, replaced, removed or made longer by the host.
import * as fs from "node:fs";
import net from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import { Mmio } from "../../../abi/virtio.ts";
import { FsDevice, VsockDevice } from "../../../host/node/devices.ts";
import { Machine } from "../../../host/node/machine.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { compileOnce } from "../../support/compiled.ts";
import { Client, MIB, serve as serveByHand } from "../../support/web-server-script.ts";

const { wasm } = await compileOnce("test/guest/web-server.ts", "release", { kind: "both" });
const image = new WebAssembly.Module(wasm);
const machines: Machine[] = [];
const WINDOW = 4 * 1024 * 1024;

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
  removeFolders();
});

async function serve() {
  const site = makeFolder();
  const vsock = new VsockDevice({ cid: 3 });
  const device = new FsDevice({
    directory: site,
    tag: "site",
    windowBytes: WINDOW,
    attrTimeoutMs: 0,
  });
  const machine = await Machine.create({ image, devices: [vsock, device] });
  machines.push(machine);
  machine.boot();
  await vsock.probe(80);
  const { port } = await vsock.publish({ host: "127.0.0.1", port: 0, guestPort: 80 });
  return { port, site };
}

interface Answer {
  status: number;
  length: number;
  body: string;
}

/** Asks for /file; `meanwhile` is done when the first bytes are there, and no more are taken. */
function ask(port: number, headers = "", meanwhile = () => {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const socket = net.connect(port, "127.0.0.1");
    const chunks: Buffer[] = [];
    socket.write(`GET /file HTTP/1.1\r\nHost: x\r\nConnection: close\r\n${headers}\r\n`);
    socket.once("data", () => {
      socket.pause();
      meanwhile();
      socket.resume();
    });
    socket.on("data", (chunk) => chunks.push(chunk));
    socket.on("error", reject);
    socket.on("close", () => {
      const text = Buffer.concat(chunks).toString("latin1");
      const end = text.indexOf("\r\n\r\n") + 4;
      const length = Number(/^content-length: (\d+)/im.exec(text.slice(0, end))?.[1]);
      resolve({ status: Number(text.slice(9, 12)), length, body: text.slice(end) });
    });
  });
}

const letters = (letter: string, bytes: number) => letter.repeat(bytes);
/** Runs of equal letters, with how long they are: 300 times "a" is "a300". */
function runs(body: string): string {
  const found: string[] = [];
  for (let at = 0, end = 0; at < body.length; at = end) {
    while (body[end] === body[at]) end++;
    found.push(`${body[at]}${end - at}`);
  }
  return found.join(" ");
}

describe.each([
  ["in the window", WINDOW],
  ["streamed", 32 * 1024 * 1024],
])("a file that is sent, %s,", (how, bytes) => {
  test.each<[string, (path: string) => void]>([
    [
      "is replaced",
      (path) => {
        fs.writeFileSync(`${path}.new`, letters("b", bytes + 7));
        fs.renameSync(`${path}.new`, path);
      },
    ],
    ["is removed", (path) => fs.unlinkSync(path)],
    ["grows", (path) => fs.appendFileSync(path, letters("b", 1000))],
  ])("HF15: and %s meanwhile arrives as it was announced", async (_, change) => {
    const { port, site } = await serve();
    fs.writeFileSync(`${site}/file`, letters("a", bytes));
    const { status, length, body } = await ask(port, "", () => change(`${site}/file`));
    expect([status, length, runs(body)]).toEqual([200, bytes, `a${bytes}`]);
    const after = await ask(port);
    const there = fs.existsSync(`${site}/file`);
    expect(after.status).toBe(there ? 200 : 404);
    if (!there) return;
    expect(after.length).toBe(fs.statSync(`${site}/file`).size);
    expect(after.body).toBe(fs.readFileSync(`${site}/file`, "latin1"));
  });

  test("HF15: and is cut meanwhile is whole, or ends with the connection", async () => {
    const { port, site } = await serve();
    fs.writeFileSync(`${site}/file`, letters("a", bytes));
    const cut = () => fs.truncateSync(`${site}/file`, 100);
    const { status, length, body } = await ask(port, "", cut);
    expect([status, length, runs(body)]).toEqual([200, bytes, `a${body.length}`]);
    if (how === "in the window") expect(body.length).toBe(bytes);
    else expect(body.length).toBeLessThan(bytes);
    expect(await ask(port)).toEqual({ status: 200, length: 100, body: letters("a", 100) });
  });

  test("in part, is replaced meanwhile: the rest of the part is the old one's", async () => {
    const { port, site } = await serve();
    fs.writeFileSync(
      `${site}/file`,
      letters("a", 100) + letters("m", bytes - 200) + letters("z", 100),
    );
    const replace = () => {
      fs.writeFileSync(`${site}/new`, letters("b", bytes));
      fs.renameSync(`${site}/new`, `${site}/file`);
    };
    const range = `Range: bytes=50-${bytes - 51}\r\n`;
    const { status, length, body } = await ask(port, range, replace);
    expect([status, length, runs(body)]).toEqual([206, bytes - 100, `a50 m${bytes - 200} z50`]);
    const after = await ask(port, `${range}If-Range: "gone"\r\n`);
    expect([after.status, runs(after.body)]).toEqual([200, `b${bytes}`]);
  });
});

test("a file that somebody was reading when the file system was lost is served to others when it is back", async () => {
  const site = makeFolder();
  fs.writeFileSync(`${site}/file`, letters("a", MIB));
  fs.writeFileSync(`${site}/other`, "other");
  const server = await serveByHand(site);
  machines.push(server.machine);
  const ask = (path: string, client = new Client()) => {
    server.connect(client).get(path);
    return client;
  };
  const stuck = ask("/file", new Client(true));
  expect(stuck.received).toContain("200 OK");
  server.machine.registers[1]?.write(Mmio.Status, 4, 0); // as if it had been taken out
  server.clock.advance(2000);
  ask("/other");
  server.clock.advance(6000);
  expect(ask("/other").received).toContain("\r\n\r\nother");
  expect(ask("/file").received.split("\r\n\r\n")[1]).toBe(letters("a", MIB));
  expect(stuck.left).toBe(false);
});
