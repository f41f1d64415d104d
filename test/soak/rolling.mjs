// Restarts two replicas in turn, under load, with haproxy in front, in the configuration that is
// shipped: node test/soak/rolling.mjs [--requests 100000] [--rounds 10] [--plain]. --plain leaves
// out all that is no default of haproxy, so that only the lame duck is left. Fails if a request is
// lost.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { Agent, get } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";

const CLIENTS = 32;
const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "100000" },
    rounds: { type: "string", default: "10" },
    "lame-duck": { type: "string", default: "5s" },
    plain: { type: "boolean", default: false },
  },
});
const requests = Number(values.requests);
const rounds = Number(values.rounds);

const folder = mkdtempSync(join(tmpdir(), "torito-rolling-"));
writeFileSync(join(folder, "index.html"), "x".repeat(1024));
const children = new Set();

/** Numbers of ports that were free a moment ago. */
async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (one) =>
        new Promise((resolve) => one.listen(0, "127.0.0.1", () => resolve(one.address().port))),
    ),
  );
  await Promise.all(servers.map((one) => new Promise((closed) => one.close(closed))));
  return ports;
}

function run(command, words) {
  const child = spawn(command, words, { stdio: ["ignore", "ignore", "pipe"] });
  children.add(child);
  const state = { child, err: "" };
  child.stderr.setEncoding("utf8").on("data", (part) => {
    state.err += part;
  });
  state.gone = new Promise((resolve) => child.on("close", resolve)).then((code) => {
    children.delete(child);
    return code;
  });
  return state;
}

async function startReplica([port, admin]) {
  const ports = ["-p", `${port}:80`, "--admin", `${admin}`];
  const words = ["dist/host/cli.js", "serve", folder, ...ports, "--lame-duck", values["lame-duck"]];
  const replica = run(process.execPath, words);
  while (!replica.err.includes("ready in")) {
    if (replica.child.exitCode !== null) throw new Error(replica.err);
    await setTimeout(10);
  }
  return replica;
}

/** The shipped configuration with other ports. */
function startHaproxy(front, [one, two]) {
  let text = readFileSync("deploy/haproxy.cfg", "utf8")
    .replace("127.0.0.1:8000", `127.0.0.1:${front}`)
    .replace("127.0.0.1:8080 port 9090", `127.0.0.1:${one[0]} port ${one[1]}`)
    .replace("127.0.0.1:8081 port 9091", `127.0.0.1:${two[0]} port ${two[1]}`);
  if (values.plain)
    text = text.replace(/^ *(option redispatch|retry-on|retries|http-reuse).*\n/gm, "");
  const path = join(folder, "haproxy.cfg");
  writeFileSync(path, text);
  return run("haproxy", ["-db", "-f", path]);
}

const lost = [];
let answered = 0;
let worstMs = 0;

function ask(port, agent) {
  const begun = performance.now();
  return new Promise((resolve) => {
    const failed = (why) => {
      lost.push(why);
      resolve();
    };
    const request = get({ host: "127.0.0.1", port, path: "/", agent }, (response) => {
      let bytes = 0;
      response.on("data", (part) => {
        bytes += part.length;
      });
      response.on("error", (error) => failed(error.message));
      response.on("end", () => {
        if (response.statusCode !== 200 || bytes !== 1024) {
          failed(`status ${response.statusCode}`);
          return;
        }
        answered++;
        worstMs = Math.max(worstMs, performance.now() - begun);
        resolve();
      });
    });
    request.on("error", (error) => failed(error.message));
  });
}

async function round(front, replicas, places) {
  answered = worstMs = 0;
  lost.length = 0;
  let restarting = true;
  const clients = Array.from({ length: CLIENTS }, async () => {
    const agent = new Agent({ keepAlive: true, maxSockets: 1 });
    while (restarting || answered + lost.length < requests) await ask(front, agent);
    agent.destroy();
  });
  for (const [i, place] of places.entries()) {
    await setTimeout(300);
    replicas[i].child.kill("SIGTERM");
    const code = await replicas[i].gone;
    if (code !== 0) throw new Error(`exit code ${code}: ${replicas[i].err}`);
    replicas[i] = await startReplica(place);
    await setTimeout(1500); // haproxy finds it again
  }
  restarting = false;
  await Promise.all(clients);
}

const [front, ...numbers] = await freePorts(5);
const places = [numbers.slice(0, 2), numbers.slice(2)];
let all = 0;
try {
  const replicas = await Promise.all(places.map(startReplica));
  startHaproxy(front, places);
  await setTimeout(1500);
  for (let i = 1; i <= rounds; i++) {
    await round(front, replicas, places);
    all += lost.length;
    const kinds = [...new Set(lost)].join(", ");
    console.log(
      `round ${i}: ${answered} answered, ${lost.length} lost${kinds && `: ${kinds}`}, ` +
        `worst ${Math.round(worstMs)} ms`,
    );
  }
} finally {
  for (const child of children) child.kill("SIGKILL");
  rmSync(folder, { recursive: true });
}
process.exitCode = all === 0 ? 0 : 1;
