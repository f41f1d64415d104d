// `--pcap` on the command line: its forms, its files, and pipes.
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, readFileSync, renameSync, statSync, writeFileSync } from "node:fs";
import { afterAll, describe, expect, test } from "vitest";
import { RotatingOutput } from "../../../host/cli/rotating-output.ts";
import type { TraceEvent } from "../../../host/trace/event.ts";
import { Appliance, makeFolder, removeFolders, until } from "../../support/appliance.ts";
import { witness } from "../../support/outside-program.ts";
import { FRONT_BYTES } from "../../support/pcap.ts";

const SITE = "apps/web-server/site";
const HEAD = "GET /small.html HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
const RECORD_BYTES = 16;
const running: Appliance[] = [];

afterAll(async () => {
  for (const appliance of running) await appliance.stop();
  removeFolders();
});

/** Serves one client. */
async function serve(...options: string[]): Promise<void> {
  await serveOne(await Appliance.serve(SITE, ...options));
}

async function serveOne(appliance: Appliance): Promise<void> {
  running.push(appliance);
  expect(await appliance.raw(HEAD)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
  expect(await appliance.stop()).toBe(0);
}

/** Records of a file, its front left out. */
function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  for (let at = FRONT_BYTES; at < file.length; ) {
    const end = at + RECORD_BYTES + file.readUInt32LE(at + 8);
    expect(end).toBeLessThanOrEqual(file.length);
    records.push(file.subarray(at, end));
    at = end;
  }
  return records;
}

test("a capture is its owner's alone", async () => {
  const folder = makeFolder();
  const [fresh, old] = [`${folder}/fresh.pcap`, `${folder}/old.pcap`];
  writeFileSync(old, "", { mode: 0o644 });
  for (const path of [fresh, old]) {
    await serve("--pcap", path);
    expect(statSync(path).mode & 0o777).toBe(0o600);
  }
});

witness("tshark", "--pcap-format tcp: HTTP is read, and files can be exported", async () => {
  const folder = makeFolder();
  await serve("--pcap", `${folder}/one.pcap`, "--pcap-format", "tcp");
  execFileSync("tshark", ["-q", "-r", `${folder}/one.pcap`, "--export-objects", `http,${folder}`]);
  const served = readFileSync(`${SITE}/small.html`);
  expect(readFileSync(`${folder}/small.html`).equals(served)).toBe(true);
});

test("--pcap-snaplen and --pcap-port limit what is kept", async () => {
  const [short, other] = [1, 2].map(() => `${makeFolder()}/one.pcap`) as [string, string];
  await serve("--pcap", short, "--pcap-snaplen", "80");
  const records = recordsOf(readFileSync(short));
  expect(records.length).toBeGreaterThan(4);
  for (const record of records) expect(record.length).toBeLessThanOrEqual(RECORD_BYTES + 80);
  await serve("--pcap", other, "--pcap-port", "81");
  expect(readFileSync(other)).toHaveLength(FRONT_BYTES);
});

/** Serves a client of the card, whose capture this is. */
async function serveOnCard(path: string, ...options: string[]): Promise<Buffer> {
  await serveOne(await Appliance.serveOnCard(SITE, "--pcap-net", path, ...options));
  return readFileSync(path);
}

test("--pcap-net has the frames of the card, each cut, and is its owner's alone", async () => {
  const path = `${makeFolder()}/card.pcap`;
  const file = await serveOnCard(path, "--pcap-snaplen", "80");
  expect([file.readUInt32LE(0), file.readUInt32LE(20)]).toEqual([0xa1b23c4d, 1]); // Ethernet
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const records = recordsOf(file);
  expect(records.length).toBeGreaterThan(10);
  for (const record of records) expect(record.length).toBeLessThanOrEqual(RECORD_BYTES + 80);
});

test("--pcap-net goes on in other files, as --pcap does", async () => {
  const folder = makeFolder();
  const rotation = ["--pcap-size", "64K", "--pcap-files", "2"];
  const capture = ["--pcap-net", `${folder}/card.pcap`, ...rotation];
  const appliance = await Appliance.serveOnCard(SITE, ...capture);
  running.push(appliance);
  for (let i = 0; i < 100; i++) expect(await appliance.raw(HEAD)).toContain("200 OK");
  expect(await appliance.stop()).toBe(0);
  const files = readdirSync(folder);
  expect(files).toHaveLength(2);
  for (const file of files) {
    expect(file).toMatch(/^card_\d{5}_\d{14}\.pcap$/);
    recordsOf(readFileSync(`${folder}/${file}`));
  }
});

witness("tshark", "--pcap-net: Wireshark reads HTTP in it, and finds nothing wrong", async () => {
  const path = `${makeFolder()}/card.pcap`;
  await serveOnCard(path);
  // Checksums of TCP are left to the card in both directions, so only IP's are complete.
  const checks = ["-o", "ip.check_checksum:TRUE"];
  const read = (...words: string[]) =>
    execFileSync("tshark", ["-r", path, ...checks, ...words], { encoding: "utf8", stdio: "pipe" });
  expect(read("-Y", "http")).toMatch(/GET \/small\.html HTTP\/1\.1[\s\S]*200 OK/);
  const wrong = "ip.checksum.status == 0 || _ws.malformed";
  expect(read("-Y", `${wrong} || tcp.analysis.retransmission`)).toBe("");
});

witness("tshark", "--pcap -: a program reads a pipe, and the console is elsewhere", async () => {
  const said = `${makeFolder()}/stderr`;
  writeFileSync(said, "");
  const options = "--port 0 --timeout 3 --pcap - --pcap-format tcp";
  const serve = `"$0" dist/host/cli.js serve ${SITE} ${options}`;
  const line = `${serve} 2>${said} | tshark -l -r - -Y http`;
  const pipeline = spawn("sh", ["-c", line, process.execPath], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  let seen = "";
  pipeline.stdout.on("data", (chunk) => {
    seen += chunk;
  });
  const url = /http:\/\/127\.0\.0\.1:\d+\//;
  await until(() => url.test(readFileSync(said, "utf8")));
  const [root] = url.exec(readFileSync(said, "utf8")) as RegExpExecArray;
  await (await fetch(`${root}small.html`, { headers: { Connection: "close" } })).text();
  await once(pipeline, "close");
  expect(seen).toContain("GET /small.html HTTP/1.1");
  expect(seen).toContain("200 OK");
  expect(readFileSync(said, "utf8")).toContain("WebServer: listening");
});

test("a trace has paths of requests and names of files if they are wanted, and not otherwise", async () => {
  for (const words of [[], ["--trace-names"]]) {
    const path = `${makeFolder()}/trace.json`;
    const appliance = await Appliance.serve(SITE, "--trace", path, ...words);
    expect((await fetch(`${appliance.url}/small.html`)).status).toBe(200);
    expect(await appliance.stop()).toBe(0);
    const events = JSON.parse(readFileSync(path, "utf8")) as TraceEvent[];
    const opened = events.filter(({ name }) => name === "OPEN").map(({ args }) => args?.file);
    const requests = events.filter(({ ph }) => ph === "b").map(({ name }) => name);
    const isNamed = words.length > 0;
    expect(opened).toContain(isNamed ? "/small.html" : undefined);
    expect(requests).toContain(isNamed ? "GET /small.html 200" : "GET 200");
  }
});

describe("options that fit nothing end with 2 and one line", () => {
  test.each([
    [["--pcap-format", "tcp"], "--pcap-format needs --pcap FILE"],
    [["--pcap", "x", "--pcap-format", "udp"], '--pcap-format udp: not one of "vsock", "tcp"'],
    [["--pcap", "x", "--pcap-snaplen", "10"], "--pcap-snaplen 10: not a number from 64"],
    [["--pcap-net", "x"], "--pcap-net needs --net"],
    [["--net", "--pcap-net", "x", "--pcap", "x"], "--pcap and --pcap-net cannot share a file"],
    [["--net", "--pcap-net", "x", "--pcap-port", "80"], "--pcap-port needs --pcap FILE"],
    [["--net", "--pcap-net", "-", "--access-log", "-"], "--pcap-net and --access-log cannot share"],
    [["--trace-names"], "--trace-names needs --trace FILE"],
    [["--trace", "-"], "--trace: stdout is the guest's console"],
    [["--trace", "x", "--pcap", "x"], "--trace and --pcap cannot share a file"],
    [["--net", "--trace", "x", "--pcap-net", "x"], "--trace and --pcap-net cannot share a file"],
    [["--pcap", "x", "--pcap-files", "3"], "--pcap-files needs --pcap-size"],
    [["--pcap", "-", "--pcap-size", "1M"], "--pcap-size: stdout is no file"],
    [["--pcap", "x", "--pcap-size", "10K"], "--pcap-size 10K: at least 64K is needed, 4G at most"],
    [["--pcap", "-", "--access-log", "-"], "--pcap and --access-log cannot share stdout"],
  ])("%j", async (options, message) => {
    const appliance = new Appliance(["serve", SITE, ...options]);
    expect(await appliance.exited).toBe(2);
    expect(appliance.stderr.split("\n")).toHaveLength(2);
    expect(appliance.stderr).toContain(message.split('"')[0] as string);
  });
});

describe("PC5: files of limited size", () => {
  const header = Buffer.alloc(FRONT_BYTES, 1);
  const record = (n: number, bytes: number) => {
    const one = Buffer.alloc(RECORD_BYTES + bytes, n);
    one.writeUInt32LE(bytes, 8);
    return one;
  };

  function rotate(bytesMax: number, filesMax: number | null, records: readonly Buffer[]) {
    const folder = makeFolder();
    const output = new RotatingOutput(
      "capture",
      `${folder}/base.pcap`,
      { bytesMax, filesMax },
      () => {},
    );
    output.write(header);
    for (const one of records) output.write(one);
    output.close();
    const names = readdirSync(folder).sort();
    return { names, files: names.map((name) => readFileSync(`${folder}/${name}`)), output };
  }

  test("no record is lost or doubled, and each file can be read alone", () => {
    const records = Array.from({ length: 50 }, (_, i) => record(i, 10 + i * 7));
    const { names, files, output } = rotate(1000, null, records);
    expect(names.length).toBeGreaterThan(5);
    names.forEach((name, i) => {
      expect(name).toMatch(/^base_\d{5}_\d{14}\.pcap$/);
      expect(name.slice(5, 10)).toBe(`${i + 1}`.padStart(5, "0"));
    });
    for (const file of files) {
      expect(file.length).toBeLessThanOrEqual(1000);
      expect(file.subarray(0, FRONT_BYTES).equals(header)).toBe(true);
    }
    expect(Buffer.concat(files.flatMap(recordsOf)).equals(Buffer.concat(records))).toBe(true);
    expect(output.incomplete).toBe(false);
  });

  test("a record that is larger than a file has one of its own", () => {
    const records = [record(1, 10), record(2, 5000), record(3, 10)];
    const { files } = rotate(100, null, records);
    expect(files.map((file) => recordsOf(file).length)).toEqual([1, 1, 1]);
  });

  test("the last ones are kept", () => {
    const records = Array.from({ length: 20 }, (_, i) => record(i, 500));
    const { names, files } = rotate(600, 3, records);
    expect(names.map((name) => name.slice(5, 10))).toEqual(["00018", "00019", "00020"]);
    expect(Buffer.concat(files.flatMap(recordsOf)).equals(Buffer.concat(records.slice(-3)))).toBe(
      true,
    );
  });

  test("a next file that cannot be created is reported once, and the first stays whole", () => {
    const folder = `${makeFolder()}/gone`;
    mkdirSync(folder);
    const told: string[] = [];
    const rotation = { bytesMax: 100, filesMax: null };
    const output = new RotatingOutput("capture", `${folder}/base.pcap`, rotation, (message) =>
      told.push(message),
    );
    output.write(header);
    output.write(record(1, 50));
    renameSync(folder, `${folder}.old`);
    for (const n of [2, 3, 4]) output.write(record(n, 50));
    output.close();
    expect(told).toEqual([expect.stringMatching(/^the capture .*base\.pcap ends here: ENOENT/)]);
    expect(output.incomplete).toBe(true);
    const [name] = readdirSync(`${folder}.old`) as [string];
    const kept = recordsOf(readFileSync(`${folder}.old/${name}`));
    expect(Buffer.concat(kept).equals(record(1, 50))).toBe(true);
  });
});
