// A site as torito, nginx and Caddy serve it: the answers that decide whether a site works, and
// where the others differ from torito, on purpose.
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { FrontEnd, freePort, startNginx } from "../support/front-ends.ts";
import { witness } from "../support/outside-program.ts";
import {
  type Answer,
  exchange,
  makeSite,
  parseAnswer,
  requestText,
  SiteGuest,
  stopGuests,
} from "../support/site-guest.ts";

const script = "go();\n".repeat(2000);
const gz = gzipSync(script);
const folder = makeSite({
  "index.html": "home",
  "dir/index.html": "dir",
  "a.js": script,
  "a.js.gz": gz,
  "a.js.br": brotliCompressSync(script),
  "only.js": script,
  "only.js.gz": gz,
  "about.html": "about",
  ".env": "SECRET=1",
  ".well-known/x": "x",
  "404.html": "the page for what is missing",
  "text.txt": "0123456789",
  "noextension.unknown": "x",
});
mkdirSync(`${folder}/empty`);
symlinkSync("/etc/hostname", `${folder}/outside`);

const ports = { torito: 0, nginx: 0, caddy: 0 };
const ends: FrontEnd[] = [];
beforeAll(async () => {
  ports.torito = (await SiteGuest.serve(folder)).port;
});
afterAll(async () => {
  stopGuests();
  for (const end of ends) await end.stop();
  removeFolders();
});

interface Row {
  readonly ask: string;
  readonly method?: string;
  readonly headers?: readonly string[];
  /** Names of headers that are compared. */
  readonly of?: readonly string[];
  readonly torito: string;
  /** Where it differs. */
  readonly nginx?: string;
  readonly caddy?: string;
}

const coding = (value: string) => [`Accept-Encoding: ${value}`];
const CODING = ["content-encoding", "vary"];

const ROWS: Row[] = [
  { ask: "/", torito: "200" },
  { ask: "/.env", torito: "404", nginx: "200", caddy: "200" },
  { ask: "/.well-known/x", torito: "200" },
  { ask: "/missing", torito: "404" },
  { ask: "/outside", torito: "404", nginx: "200", caddy: "200" },
  { ask: "/about", torito: "404" },
  { ask: "/empty/", torito: "404", nginx: "403" },
  { ask: "/dir?x=1", of: ["location"], torito: "301 /dir/?x=1", caddy: "308 /dir/" },
  { ask: "/dir/", torito: "200" },
  {
    ask: "/a.js",
    headers: coding("br, gzip"),
    of: CODING,
    torito: "200 br Accept-Encoding",
    nginx: "200 gzip Accept-Encoding", // it has no brotli
  },
  {
    ask: "/only.js",
    headers: coding("br, gzip"),
    of: CODING,
    torito: "200 gzip Accept-Encoding",
  },
  {
    ask: "/only.js",
    headers: coding("br;q=0, gzip;q=0"),
    of: CODING,
    torito: "200 - Accept-Encoding",
    caddy: "200 - -", // a cache would send identity to everybody
  },
  { ask: "/text.txt", headers: coding("gzip"), of: CODING, torito: "200 - -" },
  {
    ask: "/only.js",
    headers: [...coding("gzip"), "Range: bytes=2-9"],
    of: ["content-range", "content-encoding"],
    torito: `206 bytes 2-9/${gz.length} gzip`,
    nginx: "200 - gzip",
  },
  {
    ask: "/text.txt",
    headers: ["Range: bytes=2-4"],
    of: ["content-range"],
    torito: "206 bytes 2-4/10",
  },
  { ask: "/text.txt", headers: ["Range: bytes=5-2"], torito: "200", nginx: "416", caddy: "416" },
  { ask: "/text.txt", headers: ['If-Match: "x"'], torito: "412" },
  { ask: "/text.txt", headers: ["If-None-Match: *"], torito: "304" },
  { ask: "/text.txt", method: "POST", torito: "405", caddy: "200" },
  {
    ask: "/text.txt",
    of: ["content-type"],
    torito: "200 text/plain; charset=utf-8",
    nginx: "200 text/plain",
  },
  {
    ask: "/noextension.unknown",
    of: ["content-type"],
    torito: "200 application/octet-stream",
    caddy: "200 -",
  },
];

const titleOf = ({ ask, method = "GET", headers = [] }: Row) =>
  `${method} ${ask}${headers.length > 0 ? ` with ${headers.join(", ")}` : ""}`;

async function answerOf(port: number, { ask, method = "GET", headers = [] }: Row): Promise<Answer> {
  return parseAnswer(await exchange(port, requestText(ask, headers, method)));
}

async function seen(port: number, row: Row): Promise<string> {
  const { status, all } = await answerOf(port, row);
  const values = (row.of ?? []).map((name) => all(name).join(", ") || "-");
  return [`${titleOf(row)}: ${status}`, ...values].join(" ");
}

describe("torito", () => {
  test.each(ROWS.map((row) => [titleOf(row), row] as const))("%s", async (_, row) => {
    expect(await seen(ports.torito, row)).toBe(`${titleOf(row)}: ${row.torito}`);
  });
});

witness("nginx", "answers as torito does, or as the table says", async () => {
  const nginx = await startNginx(
    `root ${folder}; include /etc/nginx/mime.types; default_type application/octet-stream;
     gzip_static on; gzip_vary on; absolute_redirect off;`,
  );
  ends.push(nginx);
  expect(await Promise.all(ROWS.map((row) => seen(nginx.port, row)))).toEqual(
    ROWS.map((row) => `${titleOf(row)}: ${row.nginx ?? row.torito}`),
  );
});

witness("caddy", "answers as torito does, or as the table says", async () => {
  const [home, port] = [makeFolder(), await freePort()];
  writeFileSync(
    `${home}/Caddyfile`,
    `{
  admin off
  auto_https off
  storage file_system ${home}
}
http://:${port} {
  bind 127.0.0.1
  root * ${folder}
  file_server {
    precompressed br zstd gzip
  }
}
`,
  );
  const caddy = await FrontEnd.start("caddy", ["run", "--config", `${home}/Caddyfile`], port);
  ends.push(caddy);
  expect(await Promise.all(ROWS.map((row) => seen(caddy.port, row)))).toEqual(
    ROWS.map((row) => `${titleOf(row)}: ${row.caddy ?? row.torito}`),
  );
});
