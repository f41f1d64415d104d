// A host that has no file descriptor for a moment: requests wait for one, and fail if none comes.
import { mkdirSync, writeFileSync } from "node:fs";
import { afterEach, expect, test } from "vitest";
import { hostFiles } from "../../../host/node/files/host-files.ts";
import type { Files } from "../../../host/ports/files.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { Client, serve } from "../../support/web-server-script.ts";

afterEach(removeFolders);

/** Calls that take a descriptor of the host. */
const TAKING: (keyof Files)[] = ["root", "hold", "holdOpen", "open", "openAt", "list"];

async function serveSite() {
  const site = makeFolder();
  mkdirSync(`${site}/sub`);
  for (const name of ["page.html", "sub/page.html"]) writeFileSync(`${site}/${name}`, "hello");
  const host = hostFiles();
  const state = { code: "", refused: 0 };
  const files = new Proxy(host, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) => {
        if (state.code === "" || !TAKING.includes(name as keyof Files)) {
          return value.apply(target, args);
        }
        state.refused++;
        throw Object.assign(new Error(state.code), { code: state.code });
      };
    },
  });
  const server = await serve(site, { files, settings: { listing: true } });
  const pass = (ms: number) => {
    for (let i = 0; i < ms; i += 10) {
      server.clock.advance(10);
      server.settle();
    }
  };
  return { ...server, state, pass };
}

const PATHS = ["/page.html", "/sub/page.html", "/sub/"];

test.each(["EMFILE", "ENFILE"])("requests wait while the host says %s", async (code) => {
  const server = await serveSite();
  server.state.code = code;
  const clients = PATHS.map((path) => {
    const client = server.connect(new Client());
    client.get(path);
    return client;
  });
  server.pass(1000);
  expect(clients.map(({ received }) => received)).toEqual(PATHS.map(() => ""));
  expect(server.state.refused).toBeGreaterThan(PATHS.length);
  server.state.code = "";
  server.pass(20);
  for (const { received } of clients) expect(received).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(server.lines()).toEqual(["WebServer: listening on vsock port 80"]);
  server.machine.dispose();
});

test("a request that has waited for five seconds is answered 503, and the console says why", async () => {
  const server = await serveSite();
  server.state.code = "EMFILE";
  const client = server.connect(new Client());
  client.get("/page.html");
  server.pass(6000);
  expect(client.received).toMatch(/^HTTP\/1\.1 503 /);
  expect(server.lines()).toContain("WebServer: no file descriptor for a request: 503");
  server.machine.dispose();
});

test("other errors are answered at once", async () => {
  const server = await serveSite();
  server.state.code = "EIO";
  const client = server.connect(new Client());
  client.get("/page.html");
  expect(client.received).toMatch(/^HTTP\/1\.1 500 /);
  server.machine.dispose();
});
