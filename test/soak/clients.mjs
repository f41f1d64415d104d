// The clients of a soak: each kind runs until it is stopped. An error that its client did not
// provoke is an error of the server.
import http from "node:http";
import net from "node:net";

/**
 * @typedef {{ port: number, stopped: boolean, done: Record<string, number>,
 *   errors: Record<string, number> }} Load
 */

const sleep = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms));
const random = (/** @type {number} */ below) => Math.floor(Math.random() * below);
const head = (/** @type {string} */ path, extra = "") =>
  `GET ${path} HTTP/1.1\r\nHost: soak\r\n${extra}\r\n`;

/** Files whose content never changes, by name: one letter, and their bytes. */
export const STEADY = { small: 1000, page: 30_000, image: 133_000, archive: 5_000_000 };
/** Small files that only fill the cache, and the names that are asked for in a flood. */
export const CROWD = 4000;
/** A file that is replaced all the time: letters of one kind at any moment. */
export const CHANGING = "changing";

/** @param {Load} load @param {string} kind */
function count(load, kind) {
  load.done[kind] = (load.done[kind] ?? 0) + 1;
}

/** @param {Load} load @param {string} what */
function wrong(load, what) {
  load.errors[what] = (load.errors[what] ?? 0) + 1;
}

/**
 * One request by node:http. Returns status and body, or what went wrong.
 * @param {Load} load @param {string} path @param {http.RequestOptions} [options]
 * @returns {Promise<{ status: number, body: Buffer } | Error>}
 */
function ask({ port }, path, options = {}) {
  return new Promise((resolve) => {
    const request = http.request({ port, host: "127.0.0.1", path, ...options }, (response) => {
      /** @type {Buffer[]} */
      const chunks = [];
      response.on("data", (chunk) => chunks.push(chunk));
      response.on("error", resolve);
      response.on("end", () =>
        resolve({ status: response.statusCode ?? 0, body: Buffer.concat(chunks) }),
      );
    });
    request.on("error", resolve).end();
  });
}

/** @param {Buffer} body @param {string} letter */
const isOnly = (body, letter) => body.equals(Buffer.alloc(body.length, letter));

/** @param {Load} load @param {string} kind @param {http.Agent | false} agent */
async function fetchSteady(load, kind, agent) {
  while (!load.stopped) {
    for (const [name, bytes] of Object.entries(STEADY)) {
      const answer = await ask(load, `/${name}`, { agent });
      if (answer instanceof Error) wrong(load, `${kind}: ${answer.message}`);
      else if (answer.status !== 200) wrong(load, `${kind}: ${answer.status}`);
      else if (answer.body.length !== bytes || !isOnly(answer.body, name[0] ?? "")) {
        wrong(load, `${kind}: other bytes`);
      }
      count(load, kind);
    }
    await sleep(20);
  }
}

/** @param {Load} load */
async function keepAlive(load) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  await fetchSteady(load, "keep-alive", agent);
  agent.destroy();
}

/** @param {Load} load */
const closing = (load) => fetchSteady(load, "close", false);

/** @param {Load} load */
async function ranges(load) {
  while (!load.stopped) {
    const first = random(STEADY.archive);
    const last = Math.min(first + random(200_000), STEADY.archive - 1);
    const options = { headers: { range: `bytes=${first}-${last}` }, agent: false };
    const answer = await ask(load, "/archive", /** @type {http.RequestOptions} */ (options));
    if (answer instanceof Error) wrong(load, `range: ${answer.message}`);
    else if (answer.status !== 206) wrong(load, `range: ${answer.status}`);
    else if (answer.body.length !== last - first + 1) wrong(load, "range: another length");
    count(load, "range");
    await sleep(30);
  }
}

/** A file that shrinks may end a response early, and be gone for a moment. @param {Load} load */
async function changing(load) {
  while (!load.stopped) {
    const answer = await ask(load, `/${CHANGING}`, { agent: false });
    if (!(answer instanceof Error)) {
      const { status, body } = answer;
      if (status !== 200 && status !== 404) wrong(load, `changing: ${status}`);
      if (status === 200 && body.length > 0 && !isOnly(body, String.fromCharCode(body[0] ?? 0))) {
        wrong(load, "changing: two versions in one answer");
      }
    }
    count(load, "changing");
    await sleep(20);
  }
}

/** @param {Load} load @returns {Promise<net.Socket>} */
function connect({ port }) {
  return new Promise((resolve) => {
    const socket = net.connect(port, "127.0.0.1");
    socket.on("error", () => {}); // whatever becomes of those that misbehave
    socket.on("connect", () => resolve(socket));
    socket.on("close", () => resolve(socket));
  });
}

/** Reads a little now and then, and has enough after a while. @param {Load} load */
async function slow(load) {
  while (!load.stopped) {
    const socket = await connect(load);
    socket.write(head("/archive"));
    for (let i = 0; i < 40 && !load.stopped; i++) {
      socket.read(4096);
      await sleep(250);
    }
    socket.destroy();
    count(load, "slow");
  }
}

/** Asks and reads nothing. @param {Load} load */
async function stalled(load) {
  while (!load.stopped) {
    const sockets = await Promise.all(Array.from({ length: 20 }, () => connect(load)));
    for (const socket of sockets) {
      socket.pause();
      socket.write(head("/archive"));
    }
    for (let i = 0; i < 12 && !load.stopped; i++) await sleep(250);
    for (const socket of sockets) socket.destroy();
    count(load, "stalled");
  }
}

const NONSENSE = [
  "\x16\x03\x01\x02\x00\x01\x00",
  "GET / HTTP/1.1\r\nHost: soak\r\n",
  "GET /%zz HTTP/1.1\r\nHost: soak\r\n\r\n",
  `GET /${"q".repeat(9000)} HTTP/1.1\r\n`,
  `GET / HTTP/1.1\r\nX: ${"y".repeat(20_000)}`,
  "POST /small HTTP/1.1\r\nHost: soak\r\nContent-Length: 100000\r\n\r\nabc",
  head("/archive"),
];

/** Says nonsense or half of something, and goes: by FIN, by RST, or half. @param {Load} load */
async function broken(load) {
  for (let i = 0; !load.stopped; i++) {
    const socket = await connect(load);
    socket.resume();
    socket.write(NONSENSE[i % NONSENSE.length] ?? "");
    await sleep(random(20));
    if (i % 3 === 0) socket.resetAndDestroy();
    else if (i % 3 === 1) socket.destroy();
    else {
      socket.end();
      await sleep(50);
      socket.destroy();
    }
    count(load, "broken");
  }
}

/** Floods of names: spellings of one file, files that are not there, many small ones. */
async function names(/** @type {Load} */ load) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; !load.stopped; i++) {
    const spelling = Array.from({ length: 12 }, (_, bit) => ((i >> bit) & 1 ? "./" : "/")).join("");
    /** @type {[string, number][]} */
    const asked = [
      [`/${spelling}small`, 200],
      [`/missing-${i}`, 404],
      [`/crowd/${i % CROWD}`, 200],
    ];
    for (const [path, status] of asked) {
      const answer = await ask(load, path, { agent });
      const got = answer instanceof Error ? answer.message : answer.status;
      if (got !== status) wrong(load, `names: ${got} for ${status}`);
      count(load, "names");
    }
    if (i % 50 === 0) await sleep(10);
  }
  agent.destroy();
}

const KINDS = [keepAlive, keepAlive, closing, ranges, changing, slow, stalled, broken, names];

/** Starts them all. Resolves when all have stopped. @param {Load} load */
export const runClients = (load) => Promise.all(KINDS.map((kind) => kind(load)));

/** Asks for every file once, so that what is cached is the same each time. @param {Load} load */
export async function askForAll(load) {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  for (let i = 0; i < CROWD; i++) await ask(load, `/crowd/${i}`, { agent });
  for (const name of Object.keys(STEADY)) await ask(load, `/${name}`, { agent });
  agent.destroy();
}
