// Copies of a site, as tar makes them, are served at one address: their validators agree.
import { execFileSync } from "node:child_process";
import { mkdirSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import { afterEach, expect } from "vitest";
import { Appliance, makeFolder, removeFolders } from "../../support/appliance.ts";
import { startHaproxy } from "../../support/front-ends.ts";
import { witness } from "../../support/outside-program.ts";

afterEach(removeFolders);

const FILES = {
  "index.html": "<h1>home</h1>",
  "script.js": "run();\n",
  "data.bin": "d".repeat(200_000),
};

/** A site whose files have dates with nanoseconds, and what tar makes of it. */
function copies(): string[] {
  const folder = makeFolder();
  for (const name of ["site", "one", "two"]) mkdirSync(`${folder}/${name}`);
  for (const [name, content] of Object.entries(FILES)) {
    writeFileSync(`${folder}/site/${name}`, content);
    execFileSync("touch", ["-d", "@1700000000.123456789", `${folder}/site/${name}`]);
  }
  execFileSync("tar", ["-C", `${folder}/site`, "-cf", `${folder}/site.tar`, "."]);
  for (const name of ["one", "two"]) {
    execFileSync("tar", ["-C", `${folder}/${name}`, "-xf", `${folder}/site.tar`]);
  }
  const seconds = statSync(`${folder}/one/script.js`, { bigint: true }).mtimeNs % 1_000_000_000n;
  expect(seconds).toBe(0n);
  return ["site", "one", "two"].map((name) => `${folder}/${name}`);
}

function ask(port: number, path: string, headers: Record<string, string> = {}) {
  return new Promise<http.IncomingMessage>((resolve, reject) => {
    const request = http.get({ port, host: "127.0.0.1", path, headers }, (response) => {
      response.resume().on("end", () => resolve(response));
    });
    request.on("error", reject);
  });
}

witness(
  "haproxy",
  "ET1: 100 conditional requests to replicas in turn are 100 times 304",
  async () => {
    const servers = await Promise.all(copies().map((site) => Appliance.serve(site)));
    const haproxy = await startHaproxy(
      servers.map(({ port }) => port),
      "  http-response set-header X-Server %s\n",
    );
    const answers: string[] = [];
    const used = new Set<unknown>();
    for (const name of Object.keys(FILES)) {
      const { headers } = await ask(haproxy.port, `/${name}`);
      for (let i = 0; i < 100; i++) {
        const condition: Record<string, string> =
          i % 2 === 0
            ? { "If-None-Match": headers.etag as string }
            : { "If-Modified-Since": headers["last-modified"] as string };
        const answer = await ask(haproxy.port, `/${name}`, condition);
        used.add(answer.headers["x-server"]);
        answers.push(`${answer.statusCode} ${answer.headers.etag === headers.etag}`);
      }
    }
    expect(answers).toEqual(Array(300).fill("304 true"));
    expect([...used].sort()).toEqual(["s0", "s1", "s2"]);
    await haproxy.stop();
    for (const server of servers) await server.stop();
  },
);
