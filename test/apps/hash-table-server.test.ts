// HashTableServer as it is built, over TCP: node:http and curl are its clients.
import { execFile } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { promisify } from "node:util";
import { afterEach, expect, test } from "vitest";
import { VsockDevice } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { witness } from "../support/outside-program.ts";

const machines: Machine[] = [];
const agent = new http.Agent({ keepAlive: true, maxSockets: 4 });
afterEach(() => {
  removeFolders();
  agent.destroy();
  for (const machine of machines.splice(0)) machine.dispose();
});

async function bootDevice(parameters = ""): Promise<VsockDevice> {
  const device = new VsockDevice();
  const machine = await Machine.create({
    image: readFileSync("build/hash-table-server.wasm"),
    memoryBytes: 16 * 1024 * 1024,
    parameters,
    devices: [device],
  });
  machines.push(machine);
  machine.boot();
  await device.probe(80);
  return device;
}

async function boot(parameters = ""): Promise<number> {
  const device = await bootDevice(parameters);
  return (await device.publish({ port: 0, guestPort: 80 })).port;
}

function ask(port: number, path: string, method = "GET"): Promise<[number | undefined, string]> {
  return new Promise((resolve, reject) => {
    const request = http.request({ port, path, method, agent, host: "127.0.0.1" }, (response) => {
      let body = "";
      response.setEncoding("latin1").on("data", (chunk) => {
        body += chunk;
      });
      response.on("end", () => resolve([response.statusCode, body]));
    });
    request.on("error", reject).end();
  });
}

test("stores, replaces, reads, counts", async () => {
  const port = await boot();
  expect(await ask(port, "/")).toEqual([200, expect.stringContaining("Keys: 0<")]);
  expect(await ask(port, "/colour")).toEqual([404, "Not Found\n"]);
  expect(await ask(port, "/colour=red")).toEqual([200, "OK\n"]);
  expect(await ask(port, "/colour")).toEqual([200, "red"]);
  expect(await ask(port, "/colour=a=b%20c")).toEqual([200, "OK\n"]);
  expect(await ask(port, "/colour")).toEqual([200, "a=b%20c"]);
  expect(await ask(port, "/empty=")).toEqual([200, "OK\n"]);
  expect(await ask(port, "/empty")).toEqual([200, ""]);
  expect(await ask(port, "/")).toEqual([200, expect.stringContaining("Keys: 2<")]);
});

test("anagrams are keys of their own, and long keys are refused (Toro fault 54)", async () => {
  const port = await boot();
  for (const key of ["abc", "cba", "bca"]) await ask(port, `/${key}=${key}`);
  for (const key of ["abc", "cba", "bca"]) expect(await ask(port, `/${key}`)).toEqual([200, key]);
  expect((await ask(port, `/${"k".repeat(256)}=v`))[0]).toBe(200);
  expect((await ask(port, `/${"k".repeat(257)}=v`))[0]).toBe(414);
  expect((await ask(port, `/x=${"v".repeat(4000)}`))[0]).toBe(200);
  expect((await ask(port, "/x"))[1]).toBe("v".repeat(4000));
  expect((await ask(port, `/x=${"v".repeat(8192)}`))[0]).toBe(414);
  expect((await ask(port, "/x"))[1]).toBe("v".repeat(4000));
});

test("a full table refuses new keys, and keeps the old ones", async () => {
  const port = await boot("slots=50");
  for (let i = 0; i < 50; i++) expect((await ask(port, `/key${i}=${i}`))[0]).toBe(200);
  expect((await ask(port, "/more=1"))[0]).toBe(507);
  expect((await ask(port, "/more"))[0]).toBe(404);
  expect((await ask(port, "/key7=again"))[0]).toBe(200);
  const values = await Promise.all(Array.from({ length: 50 }, (_, i) => ask(port, `/key${i}`)));
  expect(values).toEqual(values.map((_, i) => [200, i === 7 ? "again" : `${i}`]));
});

test("answers what it does not do", async () => {
  const port = await boot();
  expect((await ask(port, "/a=1", "POST"))[0]).toBe(405);
  expect((await ask(port, "/=1"))[0]).toBe(400);
  await ask(port, "/a=12345");
  expect(await ask(port, "/a", "HEAD")).toEqual([200, ""]);
});

witness("curl", "many requests on one connection", async () => {
  const port = await boot();
  const url = `http://127.0.0.1:${port}/key[1-50]`;
  const { stdout } = await promisify(execFile)("curl", ["-sS", `${url}=v`, url]);
  expect(stdout).toBe("OK\n".repeat(50) + "v".repeat(50));
});

witness("socat", "a client of the AF_UNIX path, which says CONNECT first", async () => {
  const device = await bootDevice();
  const path = `${makeFolder()}/vsock`;
  await device.publishPath(path);
  const talk = async (line: string) => {
    const socat = execFile("socat", ["-t5", "-", `UNIX-CONNECT:${path}`]);
    let output = "";
    socat.stdout?.on("data", (chunk) => {
      output += chunk;
    });
    socat.stdin?.end(`CONNECT 80\nGET ${line} HTTP/1.0\r\n\r\n`);
    await once(socat, "close");
    return output;
  };
  expect(await talk("/colour=red")).toMatch(/^OK \d+\nHTTP\/1.1 200 OK\r\n/);
  expect(await talk("/colour")).toMatch(/^OK \d+\nHTTP\/1.1 200 OK\r\n[\s\S]*\r\n\r\nred$/);
});

test("values take no more than half of the memory; a client that comes later is answered", async () => {
  const port = await boot();
  const value = "v".repeat(4000);
  const statuses = new Set<number | undefined>();
  for (let i = 0; i < 4000; i += 4) {
    const keys = [i, i + 1, i + 2, i + 3];
    const answers = await Promise.all(keys.map((key) => ask(port, `/${key}=${value}`)));
    for (const [status] of answers) statuses.add(status);
  }
  expect(statuses).toEqual(new Set([200, 507]));
  expect(await ask(port, "/0")).toEqual([200, value]);
  // Replacing takes nothing.
  for (let i = 0; i < 20; i++) expect((await ask(port, "/0=short"))[0]).toBe(200);
  expect((await ask(port, `/0=${value}`))[0]).toBe(200);
  const clients = Array.from({ length: 200 }, () => net.connect(port, "127.0.0.1"));
  await Promise.all(clients.map((client) => once(client, "connect")));
  expect(await ask(port, "/0")).toEqual([200, value]);
  for (const client of clients) client.destroy();
});
