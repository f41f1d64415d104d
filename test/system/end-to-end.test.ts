// The appliance as a user meets it: started, fetched from, loaded, and ended by signals.
import { execFile } from "node:child_process";
import { createCipheriv, createHash } from "node:crypto";
import {
  cpSync,
  createWriteStream,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import http from "node:http";
import net from "node:net";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { Appliance, makeFolder, removeFolders, until } from "../support/appliance.ts";
import { compileOnce } from "../support/compiled.ts";
import { witness } from "../support/outside-program.ts";

const run = promisify(execFile);
const SITE = "apps/web-server/site";
const running: Appliance[] = [];

afterAll(async () => {
  for (const appliance of running) await appliance.stop();
  removeFolders();
});

async function serve(directory: string, ...args: string[]): Promise<Appliance> {
  const appliance = await Appliance.serve(directory, ...args);
  running.push(appliance);
  return appliance;
}

/** Builds a program of test/guest; returns the path of its image. */
async function build(name: string): Promise<string> {
  const { wasm, map } = await compileOnce(`test/guest/${name}.ts`, "release");
  const path = `${makeFolder()}/${name}.wasm`;
  writeFileSync(path, wasm);
  writeFileSync(`${path}.map`, map);
  return path;
}

describe("starting and ending", () => {
  test("the boot log is on stdout, one ready line on stderr, and Ctrl-C drains and exits with 0", async () => {
    const appliance = await serve(SITE);
    expect(appliance.stdout).toContain("WebServer: listening on vsock port 80\n");
    expect(appliance.stderr.match(/ready in/g)).toHaveLength(1);
    appliance.kill("SIGINT");
    expect(await appliance.exited).toBe(0);
  });

  test("SIGTERM under load: responses that have begun finish, and the exit code is 0", async () => {
    const appliance = await serve(SITE);
    let finished = 0;
    let broken = 0;
    let stopping = false;
    const size = statSync(`${SITE}/img/torito.png`).size;
    const client = async () => {
      while (!stopping) {
        await new Promise<void>((resolve) => {
          const request = http.get(
            `${appliance.url}/img/torito.png`,
            { agent: false },
            (response) => {
              let bytes = 0;
              response.on("data", (chunk) => {
                bytes += chunk.length;
              });
              response.on("close", () => {
                if (bytes === size) finished++;
                else broken++;
                resolve();
              });
            },
          );
          // Not begun: refused, or closed before the server had read the request.
          request.on("error", () => resolve());
        });
      }
    };
    const clients = Array.from({ length: 16 }, client);
    await until(() => finished > 200);
    appliance.kill("SIGTERM");
    expect(await appliance.exited).toBe(0);
    stopping = true;
    await Promise.all(clients);
    expect(broken).toBe(0);
  });

  test("a second signal ends at once with 143 while a client holds its connection open", async () => {
    const folder = makeFolder();
    writeFileSync(`${folder}/large.bin`, Buffer.alloc(32 * 1024 * 1024));
    const appliance = await serve(folder);
    const socket = net.connect(appliance.port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
    await new Promise((resolve) => socket.once("readable", resolve));
    appliance.kill("SIGTERM");
    await until(() => appliance.stderr.includes("finishing open connections"));
    appliance.kill("SIGTERM");
    expect(await appliance.exited).toBe(143);
    socket.destroy();
  });

  test("hello-world prints its line and powers off with 0", async () => {
    const appliance = new Appliance(["run", "apps/hello-world"]);
    expect(await appliance.exited).toBe(0);
    expect(appliance.stdout).toMatch(/\nHello World, I am torito!\n$/);
  });

  test("hello-file leaves hello in a file of the host, byte for byte, in place of what was there", async () => {
    const folder = makeFolder();
    for (const before of [null, "something longer"]) {
      if (before !== null) writeFileSync(`${folder}/hello`, before);
      const appliance = new Appliance(["run", "apps/hello-file", "-v", `${folder}:site:rw`]);
      expect(await appliance.exited).toBe(0);
      expect(appliance.stdout).toMatch(/\nHelloFile: the disk has it\n$/);
      expect(readFileSync(`${folder}/hello`, "latin1")).toBe("hello");
    }
  });

  test("hello-file says what it cannot do in a directory that is read-only, and ends with 1", async () => {
    const folder = makeFolder();
    const appliance = new Appliance(["run", "apps/hello-file", "-v", `${folder}:site`]);
    expect(await appliance.exited).toBe(1);
    expect(appliance.stdout).toContain("HelloFile: open failed with error 30\n");
    expect(readdirSync(folder)).toEqual([]);
  });

  test("a panic exits with 70 and names message, file and line, and the frames that led there", async () => {
    const appliance = new Appliance(["run", await build("panic")]);
    expect(await appliance.exited).toBe(70);
    expect(appliance.stderr).toMatch(/panic: the fourth wheel at test\/guest\/panic\.ts:\d+:\d+\n/);
    // The failing frame has no line of its own (nothing follows it in the image), its callers have.
    const frames =
      /at test\/guest\/panic\/main .*\n +at \S+runApplication \(torito\/kernel\/main\.ts:\d+:\d+\)/;
    expect(appliance.stderr).toMatch(frames);
  });

  test("a thread that yields for ever does not keep the host from its signals", async () => {
    const appliance = new Appliance(["run", await build("spin")]);
    await until(() => appliance.stdout.includes("spinning"));
    appliance.kill("SIGTERM");
    expect(await appliance.exited).toBe(0);
  });

  test("a tag that the guest does not find ends with its own exit code and words", async () => {
    const appliance = new Appliance(["run", "apps/web-server", "-v", `${SITE}:other`]);
    expect(await appliance.exited).toBe(1);
    expect(appliance.stdout).toContain("WebServer: mount failed with error 19\n");
  });
});

describe("stream applications", () => {
  test("echo sends back what many clients send at once", async () => {
    const appliance = new Appliance(["run", "apps/echo", "-p", "0:7"]);
    running.push(appliance);
    await until(() => /tcp:\/\/127\.0\.0\.1:(\d+)\//.test(appliance.stderr));
    const port = Number(/127\.0\.0\.1:(\d+)/.exec(appliance.stderr)?.[1]);
    const echoed = Array.from({ length: 8 }, async (_, i) => {
      const bytes = Buffer.alloc(300_000 + i, i + 1);
      const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      socket.end(bytes);
      await new Promise((resolve) => socket.once("end", resolve));
      return Buffer.concat(chunks).equals(bytes);
    });
    expect(await Promise.all(echoed)).toEqual(echoed.map(() => true));
  });

  test("delivers bytes that an application sent before it returned", async () => {
    let received = 0;
    const server = net.createServer((socket) => {
      socket.on("data", (chunk) => {
        received += chunk.length;
      });
      socket.on("error", () => {});
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const { port } = server.address() as net.AddressInfo;
    const image = await build("last-words");
    const appliance = new Appliance(["run", image, "--connect", `9:${port}`]);
    expect(await appliance.exited).toBe(0);
    await until(() => received >= 100_000);
    expect(received).toBe(100_000);
    server.close();
  });

  test("ping-pong reaches a server of the host by a mapped port, and ends with 0", async () => {
    const server = net.createServer((socket) => socket.on("error", () => {}).pipe(socket));
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", () => resolve()));
    const { port } = server.address() as net.AddressInfo;
    const args = ["run", "apps/ping-pong", "--connect", `9:${port}`];
    const appliance = new Appliance([...args, "--", "port=9", "size=100000", "count=20"]);
    expect(await appliance.exited).toBe(0);
    expect(appliance.stdout).toMatch(/ping-pong: 20 round trips of 100000 bytes, \d+ ns each\n$/);
    const refused = new Appliance([...args, "--", "port=10"]);
    expect(await refused.exited).toBe(1);
    expect(refused.stdout).toContain("ping-pong: connect failed with error 104\n");
    server.close();
  });
});

describe("serving", () => {
  test("1 GB comes through byte-exact, and the appliance's memory does not grow with it", async () => {
    const folder = makeFolder();
    const path = `${folder}/large.bin`;
    const wanted = await writeNoise(path, 1000 * 1000 * 1000);
    const appliance = await serve(folder);
    await digest(`${appliance.url}/large.bin`, 50_000_000);
    const before = appliance.memory();
    expect(await digest(`${appliance.url}/large.bin`)).toBe(wanted);
    expect(appliance.memory() - before).toBeLessThan(64 * 1024 * 1024);
  });

  test("a client that reads slowly does not make the host grow", async () => {
    const folder = makeFolder();
    writeFileSync(`${folder}/large.bin`, Buffer.alloc(200 * 1024 * 1024));
    const appliance = await serve(folder);
    await digest(`${appliance.url}/large.bin`);
    const before = appliance.memory();
    const sockets = Array.from({ length: 20 }, () => {
      const socket = net.connect(appliance.port, "127.0.0.1");
      socket.on("error", () => {});
      socket.write("GET /large.bin HTTP/1.1\r\nHost: x\r\n\r\n");
      socket.pause();
      return socket;
    });
    await Promise.all(
      sockets.map((socket) => new Promise((done) => socket.once("readable", done))),
    );
    await digest(`${appliance.url}/large.bin`);
    expect(appliance.memory() - before).toBeLessThan(64 * 1024 * 1024);
    for (const socket of sockets) socket.destroy();
  });

  witness("curl", "fetches the sample page with HTTP/1.1, ranges and conditions", async () => {
    const { url } = await serve(SITE);
    const { stdout } = await run("curl", ["-sS", "-i", `${url}/`]);
    expect(stdout).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
    expect(stdout).toContain("<!doctype html>");
    const part = await run("curl", ["-sS", "-r", "0-14", `${url}/index.html`]);
    expect(part.stdout.toLowerCase()).toBe("<!doctype html>");
    const folder = makeFolder();
    const file = ["-sS", "-o", `${folder}/a`, "-R", "-w", "%{http_code}", `${url}/small.html`];
    expect((await run("curl", file)).stdout).toBe("200");
    expect((await run("curl", ["-z", `${folder}/a`, ...file])).stdout).toBe("304");
  });

  witness(
    "ab",
    "takes 2000 requests, with and without keep-alive, without one failure",
    async () => {
      const { url } = await serve(SITE);
      for (const args of [["-c1"], ["-c50"], ["-k", "-c50"]]) {
        for (const path of ["img/torito.png", "small.html"]) {
          const { stdout } = await run("ab", ["-q", "-n2000", ...args, `${url}/${path}`]);
          expect(stdout).toMatch(/Complete requests:\s+2000\n/);
          expect(stdout).toMatch(/Failed requests:\s+0\n/);
          expect(stdout).not.toContain("Non-2xx");
        }
      }
    },
  );

  witness("chromium", "renders every page of the sample site with all its assets", async () => {
    const folder = makeFolder();
    cpSync(SITE, folder, { recursive: true });
    const pages = readdirSync(SITE).filter((name) => name.endsWith(".html"));
    writeFileSync(`${folder}/check.html`, checkPage(pages));
    const { url } = await serve(folder);
    const flags = [
      "--headless",
      "--no-sandbox",
      "--disable-gpu",
      "--disable-quic",
      "--no-first-run",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-sync",
      `--user-data-dir=${makeFolder()}`,
    ];
    const { stdout } = await run("chromium", [...flags, "--dump-dom", `${url}/check.html`], {
      maxBuffer: 1 << 24,
    });
    expect(/<pre id="result">([^<]*)</.exec(stdout)?.[1]).toBe(`${pages.length} pages are whole`);
  });
});

/**
 * A page with the others in frames. Its load event comes after theirs, images and all; what is
 * missing then is written down before Chromium takes the document.
 */
function checkPage(pages: readonly string[]): string {
  const check = () => {
    const missing: string[] = [];
    for (const frame of document.querySelectorAll("iframe")) {
      const page = frame.contentDocument as Document;
      const name = frame.getAttribute("src");
      for (const image of page.images) {
        if (!image.complete || image.naturalWidth === 0) missing.push(`${name}: ${image.src}`);
      }
      for (const sheet of page.styleSheets) {
        if (sheet.cssRules.length === 0) missing.push(`${name}: ${sheet.href}`);
      }
      for (const one of page.querySelectorAll("[href], [src]")) {
        const link = one.getAttribute("href") ?? one.getAttribute("src") ?? "";
        if (/^(#|data:|https?:)/.test(link)) continue;
        const request = new XMLHttpRequest();
        request.open("GET", new URL(link, page.baseURI), false);
        request.send();
        if (request.status !== 200) missing.push(`${name}: ${link} is ${request.status}`);
      }
    }
    const result = document.getElementById("result") as HTMLElement;
    const { length } = document.querySelectorAll("iframe");
    result.textContent = missing.length > 0 ? missing.join("\n") : `${length} pages are whole`;
  };
  return `<!doctype html><title>check</title><pre id="result"></pre>
${pages.map((name) => `<iframe src="${name}"></iframe>`).join("\n")}
<script>window.onload = ${check};</script>`;
}

/** Writes `bytes` of noise; returns their digest. */
async function writeNoise(path: string, bytes: number): Promise<string> {
  const noise = createCipheriv("aes-128-ctr", Buffer.alloc(16, 1), Buffer.alloc(16, 2));
  const zeros = Buffer.alloc(1_000_000);
  const hash = createHash("sha1");
  const out = createWriteStream(path);
  for (let left = bytes; left > 0; left -= zeros.length) {
    const block = noise.update(zeros.subarray(0, left));
    hash.update(block);
    if (!out.write(block)) await new Promise<void>((resolve) => out.once("drain", () => resolve()));
  }
  await new Promise<void>((resolve) => out.end(() => resolve()));
  return hash.digest("hex");
}

/** The digest of a response's body, or of its first bytes. */
function digest(url: string, most = Number.POSITIVE_INFINITY): Promise<string> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false }, (response) => {
      const hash = createHash("sha1");
      let bytes = 0;
      response.on("data", (chunk) => {
        hash.update(chunk);
        bytes += chunk.length;
        if (bytes >= most) request.destroy();
      });
      response.on("close", () => resolve(hash.digest("hex")));
    });
    request.on("error", (error) => (most === Number.POSITIVE_INFINITY ? reject(error) : undefined));
  });
}

test("the sample site's large image is about 133 kB and its small page 1 kB, as the benchmarks say", () => {
  expect(Math.abs(statSync(`${SITE}/img/torito.png`).size - 133_000)).toBeLessThan(3000);
  expect(statSync(`${SITE}/small.html`).size).toBe(1024);
});
