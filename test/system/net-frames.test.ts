// Frames of a request: WebServer on the `user` network, and a client that keeps its connection.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { NetDevice } from "../../host/devices/net.ts";
import { FsDevice, UserNetwork } from "../../host/node/devices.ts";
import { Machine } from "../../host/node/machine.ts";

test("TC47: a request whose answer is at hand costs the guest one frame", async () => {
  const directory = mkdtempSync(join(tmpdir(), "torito-frames-"));
  writeFileSync(join(directory, "index.html"), "<p>Hello</p>");
  const network = new UserNetwork();
  const card = new NetDevice({ network });
  const machine = await Machine.create({
    image: readFileSync("build/web-server.wasm"),
    parameters: "net=inet net.address=10.0.2.15/24 net.gateway=10.0.2.2",
    devices: [card, new FsDevice({ directory, tag: "site" })],
    console: () => {},
  });
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  try {
    machine.boot();
    await network.probe(80);
    const { port } = (await network.publish({ port: 0, guestPort: 80 })) as { port: number };
    const request = () =>
      new Promise<string>((resolve, reject) => {
        get({ port, host: "127.0.0.1", agent, path: "/" }, (response) => {
          let text = "";
          response.on("data", (part) => {
            text += part;
          });
          response.on("end", () => resolve(text));
        }).on("error", reject);
      });
    await request(); // the file is read
    await request();
    const before = card.stats.framesFromGuest;
    for (let i = 0; i < 5; i++) expect(await request()).toBe("<p>Hello</p>");
    expect(card.stats.framesFromGuest - before).toBe(5);
  } finally {
    agent.destroy();
    machine.dispose();
    network.close();
    rmSync(directory, { recursive: true, force: true });
  }
});
