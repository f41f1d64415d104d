// The admin listener: health, metrics, settings, actions, and whom it does not answer.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { COUNTERS_MAX } from "../../../abi/counters.ts";
import { parseCommandLine } from "../../../host/cli/arguments.ts";
import { metricsText } from "../../../host/cli/service/metrics.ts";
import { cardTotals, networkTotals } from "../../../host/cli/service/net-totals.ts";
import { type Counts, combine, NO_COUNTS } from "../../../host/cli/service/report.ts";
import { addCounts, type Totals, totalsOf } from "../../../host/cli/service/totals.ts";
import { createStats } from "../../../host/devices/net/stats.ts";
import { createUserStats } from "../../../host/devices/net/user/stats.ts";
import { Metrics } from "../../../host/service/metrics.ts";
import { buildCommand, killCommands, start } from "../../support/command.ts";
import { freePort } from "../../support/front-ends.ts";
import { witness } from "../../support/outside-program.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-admin-"));
const site = join(folder, "site");

beforeAll(() => {
  buildCommand();
  mkdirSync(site);
  writeFileSync(join(site, "index.html"), "hello");
});

afterAll(() => {
  killCommands();
  rmSync(folder, { recursive: true });
});

interface Asked {
  readonly method?: string;
  readonly headers?: Record<string, string>;
  readonly body?: string;
}

const serve = (...words: string[]) => served("-p", "0:80", ...words);
/** The same on a port of the card. */
const serveOnCard = (...words: string[]) => served("--net", "-p", "0:80/net", ...words);

async function served(...words: string[]) {
  const torito = start("serve", site, "--admin", "0", ...words);
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const [, url] = await torito.until(/ready in .*(http:\S+)\//);
  /** fetch() would set the Host itself. */
  const ask = (path: string, { method = "GET", headers = {}, body = "" }: Asked = {}) =>
    new Promise<{ status: number; text: string; type: string }>((resolve, reject) => {
      const sent = request(`${admin}${path}`, { method, headers }, async (response) => {
        let text = "";
        for await (const part of response.setEncoding("utf8")) text += part;
        const type = response.headers["content-type"] ?? "";
        resolve({ status: response.statusCode ?? 0, text, type });
      });
      sent.on("error", reject);
      sent.end(body);
    });
  const post = (path: string, body = "") =>
    ask(path, { method: "POST", headers: { "content-type": "application/json" }, body });
  return { ...torito, admin: admin as string, url: url as string, ask, post };
}

async function stop({
  child,
  end,
}: {
  child: { kill(): boolean };
  end: Promise<{ code: unknown }>;
}) {
  child.kill();
  expect((await end).code).toBe(0);
}

test("is alive and ready; a drain makes it unready, until it is taken back", async () => {
  const torito = await serve();
  const { ask, post, url } = torito;
  for (const path of ["/livez", "/healthz", "/readyz"]) expect((await ask(path)).status).toBe(200);
  expect((await ask("/readyz?verbose")).text).toBe(
    "[+]drain ok\n[+]guest ok\n[+]volume site ok\n[+]connections ok\nready\n",
  );
  expect(await post("/drain")).toMatchObject({
    status: 202,
    text: '{\n  "state": "draining"\n}\n',
  });
  expect(await ask("/readyz")).toMatchObject({
    status: 503,
    text: "[-]drain failed: draining\nnot ready\n",
  });
  const answer = await fetch(url);
  expect([answer.status, answer.headers.get("connection")]).toEqual([200, "close"]);
  expect((await ask("/livez")).status).toBe(200);
  expect((await post("/undrain")).text).toContain("serving");
  expect((await ask("/readyz")).status).toBe(200);
  expect((await fetch(url)).headers.get("connection")).not.toBe("close");
  await stop(torito);
});

test("lists what may be asked for", async () => {
  const torito = await serve("--inspect");
  const { status, text } = await torito.ask("/");
  expect(status).toBe(200);
  const lines = text.trimEnd().split("\n");
  expect(lines).toContain("GET  /inspect");
  for (const line of lines) {
    const [method = "", path = ""] = line.split(/ +/);
    const other = method === "GET" ? "PUT" : "GET";
    expect([line, (await torito.ask(path, { method: other })).status]).toEqual([line, 405]);
  }
  const guide = readFileSync("docs/operating.md", "utf8");
  for (const [, path] of guide.matchAll(/^\| (?:POST )?`(\/[a-z]+)`/gm)) {
    expect(text).toContain(` ${path}\n`);
  }
  await stop(torito);
});

test("is not ready when the directory of the site is gone, but alive", async () => {
  const gone = mkdtempSync(join(tmpdir(), "torito-gone-"));
  const torito = start("serve", gone, "-p", "0:80", "--admin", "0");
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  await torito.until(/ready in/);
  rmSync(gone, { recursive: true });
  const ready = await fetch(`${admin}/readyz`);
  expect([ready.status, await ready.text()]).toEqual([
    503,
    expect.stringMatching(/^\[-\]volume site failed: ENOENT.*\nnot ready\n$/),
  ]);
  expect((await fetch(`${admin}/livez`)).status).toBe(200);
  await stop(torito);
});

test("is there while the guest boots, and says that it is not ready", async () => {
  const torito = start("serve", site, "-p", "0:80", "--admin", "0", "-m", "1G");
  const [, admin] = await torito.until(/admin on (http:\S+)\//);
  const early = await fetch(`${admin}/readyz`);
  const text = await early.text();
  if (early.status === 503) expect(text).toContain("[-]guest failed");
  await torito.until(/ready in/);
  expect((await fetch(`${admin}/readyz`)).status).toBe(200);
  await stop(torito);
});

describe("metrics", () => {
  test("count requests by code and method, and nothing that clients choose", async () => {
    const torito = await serve();
    const { ask, url } = torito;
    await (await fetch(url)).text();
    await (await fetch(`${url}/missing`, { method: "HEAD" })).text();
    await (await fetch(`${url}/secret-path`, { method: "DELETE" })).text();
    const { text, type } = await ask("/metrics");
    expect(type).toBe("text/plain; version=0.0.4; charset=utf-8");
    expect(text).toContain('torito_http_requests_total{code="200",method="GET"} 1\n');
    expect(text).toContain('torito_http_requests_total{code="404",method="HEAD"} 1\n');
    expect(text).toContain('torito_http_requests_total{code="405",method="OTHER"} 1\n');
    expect(text).toContain("torito_http_request_duration_seconds_count 3\n");
    expect(text).toContain("torito_config_last_reload_successful 1\n");
    expect(text).toMatch(/^torito_guest_heap_bytes\{state="used"\} \d{5,}$/m);
    expect(text).toMatch(
      /^torito_build_info\{version=".*",node=".*",sockets="(handles|net)"\} 1$/m,
    );
    expect(text).toMatch(/^torito_virtqueue_kicks_total\{device="vsock",queue="tx"\} [1-9]\d*$/m);
    expect(text).toMatch(/^torito_virtqueue_interrupts_total\{device="fs site"\} \d+$/m);
    expect(text).not.toContain("secret");
    const series = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
    expect(series.length).toBeLessThanOrEqual(300);
    expect(Buffer.byteLength(text)).toBeLessThan(32 * 1024);
    await stop(torito);
  });

  test("never enter the guest", async () => {
    const torito = await serve();
    const turns = async () =>
      /^torito_guest_turns_total (\d+)$/m.exec((await torito.ask("/metrics")).text)?.[1];
    const before = await turns();
    for (let i = 0; i < 20; i++) await turns();
    expect(await turns()).toBe(before);
    await stop(torito);
  });

  test("are OpenMetrics for those who accept it", async () => {
    const torito = await serve();
    const { text, type } = await torito.ask("/metrics", {
      headers: { accept: "application/openmetrics-text; version=1.0.0" },
    });
    expect(type).toContain("application/openmetrics-text");
    expect(text.endsWith("\n# EOF\n")).toBe(true);
    expect(text).toContain("# TYPE torito_connections_accepted counter\n");
    expect(text).toContain("torito_connections_accepted_total 0\n");
    await stop(torito);
  });

  test("count frames of the card and what its network does; its clients are clients", async () => {
    const torito = await serveOnCard();
    expect(await (await fetch(torito.url)).text()).toBe("hello");
    const { text } = await torito.ask("/metrics");
    const value = (sample: string) =>
      Number(new RegExp(`^${sample.replace(/[{}]/g, "\\$&")} (\\d+)$`, "m").exec(text)?.[1]);
    expect(value("torito_connections_accepted_total")).toBe(1);
    for (const direction of ["to_guest", "from_guest"]) {
      expect(value(`torito_network_bytes_total{direction="${direction}"}`)).toBeGreaterThan(100);
      expect(value(`torito_net_frames_total{direction="${direction}"}`)).toBeGreaterThan(3);
    }
    expect(value('torito_connections{state="open"}')).toBe(
      value('torito_user_net_flows{protocol="tcp"}'),
    );
    expect(value('torito_user_net_connections_total{direction="inbound"}')).toBe(1);
    expect(value('torito_user_net_dropped_total{reason="no_slab"}')).toBe(0);
    expect(value('torito_net_dropped_total{reason="queue_full"}')).toBe(0);
    await stop(torito);
  });

  test("are at most 300 series, whatever guests and clients do", () => {
    const totals = totalsOf(null, null);
    const many = (count: number, key: (i: number) => string) =>
      Array.from({ length: count }, (_, i) => [key(i), 1] as const);
    const devices = Array.from({ length: 30 }, (_, i) => `fs ${i}`);
    const counts: Counts = {
      ...NO_COUNTS,
      totals: {
        ...totals,
        refused: { guest: 1, room: 1, descriptors: 1, handshake: 1 },
        kicks: Object.fromEntries(devices.flatMap((name) => many(6, (i) => `${name}/${i}`))),
        copied: Object.fromEntries(devices.map((name) => [`${name}/to_guest/background`, 1])),
        interrupts: Object.fromEntries(devices.map((name) => [name, 1])),
        fsAnswers: Object.fromEntries(many(1000, (i) => `OP${i} E${i}`)),
        card: cardTotals(createStats()),
        network: networkTotals(createUserStats()),
      },
      requests: {
        ...NO_COUNTS.requests,
        answered: new Map(many(1000, (i) => `${i} GET`)),
        aborted: Array(9).fill(1),
        cut: Array(9).fill(1),
      },
      turns: { counts: [], above: 0, sum: 0 },
    };
    const report = { ...combine([], counts, 1), isRetired: false };
    const state = { successful: true, successMs: 0, waiting: [] };
    const series = metricsText(report, state, "text")
      .split("\n")
      .filter((line) => line !== "" && !line.startsWith("#"));
    expect(series.length).toBeGreaterThan(200);
    expect(series.length).toBeLessThanOrEqual(300 - COUNTERS_MAX);
  });

  witness("promtool", "promtool finds nothing, with a card neither", async () => {
    const torito = await serveOnCard();
    await (await fetch(torito.url)).text();
    const { text } = await torito.ask("/metrics");
    const { status, stderr } = spawnSync("promtool", ["check", "metrics"], { input: text });
    expect([status, stderr.toString()]).toEqual([0, ""]);
    await stop(torito);
  });

  witness("prometheus", "Prometheus scrapes them, as OpenMetrics by its own wish", async () => {
    const torito = await serve();
    await (await fetch(torito.url)).text();
    const port = await freePort();
    const data = mkdtempSync(join(tmpdir(), "torito-prometheus-"));
    const target = new URL(torito.admin).host;
    const job = `{ job_name: torito, static_configs: [{ targets: ["${target}"] }] }`;
    const text = `{ global: { scrape_interval: 1s }, scrape_configs: [${job}] }`;
    writeFileSync(join(data, "prometheus.yml"), text);
    const words = [`--config.file=${data}/prometheus.yml`, `--storage.tsdb.path=${data}/tsdb`];
    const listen = `--web.listen-address=127.0.0.1:${port}`;
    const prometheus = spawn("prometheus", [...words, listen], { stdio: "ignore" });
    const query = async (expression: string) => {
      const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(expression)}`;
      // It answers 503 without JSON until it has started.
      const answer = await fetch(url)
        .then((response) => response.json())
        .catch(() => null);
      return (answer?.data?.result?.[0]?.value?.[1] ?? null) as string | null;
    };
    let answered: string | null = null;
    while (answered === null) {
      await setTimeout(200);
      answered = await query('torito_http_requests_total{code="200"}');
    }
    expect(answered).toBe("1");
    expect(await query("up")).toBe("1");
    expect(Number(await query("scrape_samples_scraped"))).toBeGreaterThan(50);
    prometheus.kill("SIGKILL");
    await once(prometheus, "close");
    rmSync(data, { recursive: true });
    await stop(torito);
  });

  test("labels are escaped, buckets add up", () => {
    const out = new Metrics("text");
    out.gauge("a", "Help.", [[{ label: 'x"\\\n' }, 1]]);
    out.histogram("h", "Help.", { bounds: [1, 2], counts: [3, 4], above: 5, sum: 6 });
    expect(`${out}`.split("\n").filter((line) => !line.startsWith("#"))).toEqual([
      'a{label="x\\"\\\\\\n"} 1',
      'h_bucket{le="1.0"} 3',
      'h_bucket{le="2.0"} 7',
      'h_bucket{le="+Inf"} 12',
      "h_sum 6",
      "h_count 12",
      "",
    ]);
  });

  test("counters of machines add up", () => {
    const none = totalsOf(null, null);
    const some: Totals = { ...none, accepted: 2, refused: { guest: 1 }, fsBytes: { read: 3 } };
    expect(addCounts<Totals>(some, { ...some, refused: { room: 4 } })).toMatchObject({
      accepted: 4,
      refused: { guest: 1, room: 4 },
      fsBytes: { read: 6 },
    });
  });
});

test("shows the settings with their sources, and connections, the oldest first", async () => {
  const torito = await serve("--grace", "3s");
  const { ask, url } = torito;
  const config = JSON.parse((await ask("/config")).text);
  expect(config.grace).toEqual({ value: "3s", source: "--grace" });
  expect(config.memory).toEqual({ value: "64M", source: "default" });
  const client = connect(Number(new URL(url).port), "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(client, "data");
  const { total, connections } = JSON.parse((await ask("/connections")).text);
  expect(total).toBe(1);
  expect(connections).toMatchObject([{ address: "127.0.0.1", guestPort: 80, bytesIn: 27 }]);
  client.destroy();
  await stop(torito);
});

test("lists clients of a port of the card by their own addresses", async () => {
  const torito = await serveOnCard();
  const client = connect(Number(new URL(torito.url).port), "127.0.0.1");
  client.write("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  await once(client, "data");
  const { total, connections } = JSON.parse((await torito.ask("/connections")).text);
  expect(total).toBe(1);
  expect(connections).toMatchObject([
    { device: "net", address: "127.0.0.1", guestPort: 80, bytesIn: 27 },
  ]);
  expect(connections[0].conn).toBeGreaterThanOrEqual(49152);
  client.destroy();
  await stop(torito);
});

test("reloads, sets the log level, and saves the machine, each by POST", async () => {
  const saved = join(folder, "warm.torito");
  const torito = await serve("--admin-snapshot", saved);
  const { post, ask, url } = torito;
  expect(JSON.parse((await post("/reload")).text)).toMatchObject({ state: "reloaded" });
  expect((await post("/log-level", '{"level":"debug"}')).status).toBe(202);
  expect((await post("/log-level", '{"level":"loud"}')).status).toBe(400);
  expect((await post("/log-level", "{")).status).toBe(400);
  for (const path of ["/reload", "/drain", "/undrain", "/snapshot"]) {
    expect(await post(path, '{"cors": ["*"]}')).toMatchObject({
      status: 400,
      text: expect.stringContaining("takes no body"),
    });
  }
  expect((await post("/undrain", "{}")).status).toBe(202);
  expect((await post("/snapshot")).status).toBe(202);
  expect(existsSync(saved)).toBe(true);
  expect((await fetch(url)).status).toBe(200);
  expect((await ask("/metrics")).text).toContain("torito_config_last_reload_successful 1\n");
  await stop(torito);
  const again = start("serve", site, "-p", "0:80", "--restore", saved);
  const [, restored] = await again.until(/ready in .*(http:\S+)\//);
  expect(await (await fetch(restored as string)).text()).toBe("hello");
  await stop(again);
});

test("a reload that fails shows in the answer and in the metrics", async () => {
  const dir = mkdtempSync(join(tmpdir(), "torito-bad-"));
  const config = join(dir, "x.json");
  writeFileSync(config, "{}");
  const torito = await serve("--config", config);
  writeFileSync(config, '{"corrs": []}');
  const failed = await torito.post("/reload");
  expect(failed.status).toBe(409);
  expect(failed.text).toContain('unknown key \\"corrs\\"');
  expect((await torito.ask("/metrics")).text).toContain("torito_config_last_reload_successful 0\n");
  await stop(torito);
  rmSync(dir, { recursive: true });
});

describe("nobody else", () => {
  test("changes anything by GET, by a form, or with a body that is long", async () => {
    const torito = await serve();
    const { ask, post } = torito;
    for (const path of ["/drain", "/reload", "/snapshot"])
      expect((await ask(path)).status).toBe(405);
    expect((await ask("/metrics", { method: "POST" })).status).toBe(405);
    const types = ["application/x-www-form-urlencoded", "text/plain", ""];
    for (const type of types) {
      const headers = { "content-type": type };
      expect((await ask("/drain", { method: "POST", headers })).status).toBe(415);
    }
    for (const bytes of [4097, 5000, 65_000]) {
      expect((await post("/log-level", "x".repeat(bytes))).status).toBe(413);
    }
    expect((await post("/snapshot")).status).toBe(409);
    expect((await ask("/nothing")).status).toBe(404);
    expect((await ask("/constructor")).status).toBe(404);
    expect((await ask("/readyz")).status).toBe(200);
    await stop(torito);
  });

  test("asks by the name of another site", async () => {
    const torito = await serve("--admin-names", "metrics.example");
    const as = async (host: string) => (await torito.ask("/livez", { headers: { host } })).status;
    expect(await as("evil.example")).toBe(421);
    expect(await as("127.0.0.1.evil.example")).toBe(421);
    for (const host of ["127.0.0.1", "[::1]:9090", "localhost:1", "metrics.example:9090"]) {
      expect(await as(host)).toBe(200);
    }
    await stop(torito);
  });

  test("keeps it busy with a head that does not end", async () => {
    const torito = await serve();
    const slow = connect(Number(new URL(torito.admin).port), "127.0.0.1");
    slow.on("error", () => {});
    slow.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n");
    slow.resume();
    await once(slow, "close");
    expect((await torito.ask("/livez")).status).toBe(200);
    await stop(torito);
  });

  test("keeps it busy with connections that wait between requests", async () => {
    const torito = await serve();
    const port = Number(new URL(torito.admin).port);
    for (let n = 0; n < 40; n++) {
      const idle = connect(port, "127.0.0.1").on("error", () => {});
      idle.write("GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n");
      await once(idle, "data");
    }
    expect((await torito.ask("/livez")).status).toBe(200);
    await stop(torito);
  });

  test("makes it answer for a host that is not its own", async () => {
    const torito = await serve();
    const port = Number(new URL(torito.admin).port);
    const status = async (target: string, hosts: readonly string[]) => {
      const socket = connect(port, "127.0.0.1");
      const fields = hosts.map((host) => `Host: ${host}\r\n`).join("");
      socket.write(`GET ${target} HTTP/1.1\r\n${fields}Connection: close\r\n\r\n`);
      const [answer] = await once(socket, "data");
      socket.destroy();
      return Number(/^HTTP\/1.1 (\d+)/.exec(answer.toString())?.[1]);
    };
    expect(await status("/livez", ["localhost"])).toBe(200);
    expect(await status("/livez", ["localhost", "evil.example"])).toBe(400);
    expect(await status("http://evil.example/livez", ["localhost"])).toBe(421);
    expect(await status("http://localhost/livez", ["evil.example"])).toBe(200);
    expect(await status("/livez", ["evil.example"])).toBe(421);
    await stop(torito);
  });

  test("reaches it from other hosts, unless that is wanted", () => {
    const parse = (...words: string[]) => parseCommandLine(["serve", ".", "--admin", ...words]);
    for (const address of ["0.0.0.0:9090", "[::]:9090", "192.0.2.1:1", "a.example:1"]) {
      expect(() => parse(address)).toThrow(`--admin ${address}: others would reach it`);
    }
    expect(() => parse("9090x")).toThrow("not [HOST:]PORT or a path");
    expect(parse("0.0.0.0:9090", "--admin-insecure")).toMatchObject({
      admin: { address: { host: "0.0.0.0", port: 9090 } },
    });
    expect(parse("[::1]:1")).toMatchObject({ admin: { address: { host: "::1", port: 1 } } });
    expect(parse("./admin.sock")).toMatchObject({ admin: { address: { path: "./admin.sock" } } });
  });
});
