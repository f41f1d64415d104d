// HTTP/1.1 framing, row by row: the same bytes to WebServer, to nginx, and to haproxy in front of
// node:http, each with a good request after them. A difference that the row does not list fails.
import { writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Appliance, has, makeFolder, removeFolders } from "../../support/appliance.ts";
import { differences, type Row, rows } from "../../support/framing-rows.ts";
import { type FrontEnd, startHaproxy, startNginx } from "../../support/front-ends.ts";
import { witness } from "../../support/outside-program.ts";

const GOOD = "GET /good HTTP/1.1\r\nHost: x\r\n\r\n";
const QUIET_MS = 1000;

/** The server's answers to the request and a good one after it. */
function outcome(port: number, { bytes, waits }: Row): Promise<string> {
  return new Promise((resolve) => {
    const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
    let text = "";
    let isLeft = false; // by us
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      if (text.endsWith("good")) leave();
    });
    const leave = () => {
      isLeft = true;
      socket.destroy();
    };
    socket.on("error", () => socket.destroy());
    socket.on("end", () => socket.destroy());
    socket.on("close", () => {
      const statuses = [...text.matchAll(/^HTTP\/1\.[01] (\d{3})/gm)].map(([, status]) => status);
      resolve(statuses.join("+") + (isLeft ? "" : " x"));
    });
    socket.write(Buffer.from(waits ? bytes : bytes + GOOD, "latin1"));
    // For one who waits for more.
    setTimeout(() => (waits ? leave() : socket.end()), QUIET_MS);
  });
}

let torito: Appliance;
let nginx: FrontEnd | undefined;
let haproxy: FrontEnd | undefined;
let node: http.Server | undefined;

beforeAll(async () => {
  const site = makeFolder();
  writeFileSync(`${site}/a`, "a\n");
  writeFileSync(`${site}/good`, "good");
  torito = await Appliance.serve(site);
  if (has("nginx")) nginx = await startNginx(`root ${site};`);
  if (!has("haproxy")) return;
  node = http.createServer((request, response) => {
    request.resume().on("end", () => response.end(request.url === "/good" ? "good" : "a\n"));
  });
  await new Promise<void>((ready) => node?.listen(0, "127.0.0.1", ready));
  haproxy = await startHaproxy([(node.address() as net.AddressInfo).port]);
});
afterAll(async () => {
  await torito.stop();
  await nginx?.stop();
  await haproxy?.stop();
  node?.close();
  removeFolders();
});

describe("framing", () => {
  test.each(rows)("$rule: $name is $asked", async (row) => {
    expect(await outcome(torito.port, row)).toBe(row.asked);
  });
});

/** The rows on which a server does something else, and what. */
async function differ(port: number): Promise<Record<string, string>> {
  const found = rows.map(async (row) => {
    const theirs = await outcome(port, row);
    return theirs === row.asked ? [] : [[row.name, theirs]];
  });
  return Object.fromEntries((await Promise.all(found)).flat());
}

witness("nginx", "HF1: nginx differs in the rows that say so, and in no other", async () => {
  expect(await differ(nginx?.port as number)).toEqual(differences.nginx);
});

witness("haproxy", "HF1: haproxy differs in the rows that say so, and in no other", async () => {
  expect(await differ(haproxy?.port as number)).toEqual(differences.haproxy);
});
