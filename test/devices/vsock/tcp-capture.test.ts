// Captures in the form of TCP, as tools see them that do not know vsock.
import { execFile } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { VIRTIO_VSOCK_TYPE_STREAM, VsockHdr, VsockOp } from "../../../abi/vsock.ts";
import { TcpCapture } from "../../../host/node/devices.ts";
import type { Chain } from "../../../host/virtqueue.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { witness } from "../../support/outside-program.ts";
import { SetClock } from "../../support/set-clock.ts";
import { Site } from "../../support/snapshot-site.ts";
import { Client } from "../../support/web-server-script.ts";

const run = promisify(execFile);
const FRONT_BYTES = 24;
const RECORD_BYTES = 16;
const LARGE = Buffer.from(Array.from({ length: 400_000 }, (_, i) => (i * 7 + (i >> 8)) & 255));
const ACK = 16;
const RST = 4;
const FIN = 1;

let directory: string;
beforeAll(() => {
  directory = makeFolder();
  writeFileSync(`${directory}/index.html`, "<p>home</p>");
  writeFileSync(`${directory}/large.bin`, LARGE);
});
afterAll(removeFolders);

interface Captured {
  readonly site: Site;
  /** Each write: the front, then records. */
  readonly writes: readonly Buffer[];
  save(): string;
}

async function captured(options = {}): Promise<Captured> {
  const writes: Buffer[] = [];
  const manual = new SetClock();
  const write = (bytes: Uint8Array) => void writes.push(Buffer.from(bytes));
  const capture = new TcpCapture(write, manual, options);
  const site = await Site.boot(directory, { manual, vsock: { capture } });
  const save = () => saved(Buffer.concat(writes));
  return { site, writes, save };
}

function saved(bytes: Uint8Array): string {
  const path = `${makeFolder()}/vsock.pcap`;
  writeFileSync(path, bytes);
  return path;
}

/** Connections that end in every way that there is. */
function traffic({ site }: Captured): void {
  site.get("/");
  site.get("/large.bin");
  site.get("/none");
  const kept = site.connect();
  for (const path of ["/", "/large.bin", "/", "/large.bin"]) kept.get(path);
  const gone = site.connect(new Client(true)); // does not read, and is reset
  gone.get("/large.bin");
  gone.events.closed();
  site.settle();
  kept.events.end();
  site.settle();
  site.connect().events.data(Buffer.from("nonsense\r\n\r\n"));
  site.clock.advance(60_000);
  site.settle();
}

const CHECKS = ["-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"];

async function fields(path: string, filter: string, ...names: string[]): Promise<string[]> {
  const wanted = names.flatMap((name) => ["-e", name]);
  const words = ["-r", path, ...CHECKS, "-Y", filter, "-T", "fields", "-E", "separator=/s"];
  const { stdout } = await run("tshark", [...words, ...wanted], { maxBuffer: 1 << 26 });
  return stdout.split("\n").filter((line) => line !== "");
}

/** Sequence number, length of the payload and flags of a record. */
function segment(record: Buffer): { seq: number; bytes: number; flags: number } {
  const ip = record.subarray(RECORD_BYTES);
  const tcp = ip.subarray(20);
  const head = (tcp[12] as number) >> 4;
  return {
    seq: tcp.readUInt32BE(4),
    bytes: ip.readUInt16BE(2) - 20 - 4 * head,
    flags: tcp[13] as number,
  };
}

describe("tshark", () => {
  witness("tshark", "PC1: finds no error in any connection, however it ends", async () => {
    const one = await captured();
    traffic(one);
    const path = one.save();
    const errors = '_ws.expert.severity == "Error" || _ws.malformed || _ws.short';
    expect(await fields(path, errors, "frame.number", "_ws.expert.message")).toEqual([]);
    const wrong =
      "tcp.checksum.status == 0 || ip.checksum.status == 0 || tcp.analysis.retransmission " +
      "|| tcp.analysis.out_of_order || tcp.analysis.lost_segment || tcp.analysis.ack_lost_segment";
    expect(await fields(path, wrong, "frame.number")).toEqual([]);
    const streams = new Set(await fields(path, "tcp", "tcp.stream"));
    expect(streams.size).toBe(6);
    const answers = await fields(path, "http.response", "http.response.code");
    expect(answers.filter((code) => code === "200")).toHaveLength(6);
    expect(answers).toContain("404");
    expect(answers).toContain("400");
    one.site.machine.dispose();
  });

  witness("tshark", "PC2: exports the files that were served, byte for byte", async () => {
    const one = await captured();
    one.site.get("/large.bin");
    one.site.get("/index.html");
    const folder = makeFolder();
    await run("tshark", ["-q", "-r", one.save(), "--export-objects", `http,${folder}`]);
    expect(readdirSync(folder).sort()).toEqual(["index.html", "large.bin"]);
    expect(readFileSync(`${folder}/large.bin`).equals(LARGE)).toBe(true);
    expect(readFileSync(`${folder}/index.html`, "utf8")).toBe("<p>home</p>");
    one.site.machine.dispose();
  });

  witness("tshark", "PC3: reads a file that is cut between two records", async () => {
    const one = await captured();
    traffic(one);
    for (const records of [0, 1, 2, 7, one.writes.length - 2]) {
      const path = saved(Buffer.concat(one.writes.slice(0, 1 + records)));
      expect(await fields(path, "tcp", "frame.number")).toHaveLength(records);
    }
    one.site.machine.dispose();
  });

  witness("tshark", "PC4: sees the same streams in 64 bytes of each packet", async () => {
    const [whole, short] = [await captured(), await captured({ snaplen: 64 })];
    for (const one of [whole, short]) traffic(one);
    for (const record of short.writes.slice(1)) expect(record.readUInt32LE(8)).toBeLessThan(65);
    const names = ["tcp.stream", "tcp.seq", "tcp.len", "tcp.ack", "frame.len"];
    expect(await fields(short.save(), "tcp", ...names)).toEqual(
      await fields(whole.save(), "tcp", ...names),
    );
    for (const { site } of [whole, short]) site.machine.dispose();
  });
});

describe("the records", () => {
  test("PC6: sequence numbers wrap at 2^32, and no byte is missing", async () => {
    const one = await captured();
    one.site.get("/large.bin");
    const isFromGuest = (record: Buffer) => record[RECORD_BYTES + 15] === 3; // 10.0.0.3
    const sent = one.writes.slice(1).filter(isFromGuest);
    let next: number | null = null;
    let [bytes, wraps] = [0, 0];
    for (const { seq, bytes: length, flags } of sent.map(segment)) {
      if (next !== null) expect(seq).toBe(next);
      next = (seq + length + ((flags & 3) === 0 ? 0 : 1)) % 2 ** 32;
      if (next < seq) wraps++;
      bytes += length;
    }
    expect(wraps).toBe(1);
    expect(bytes).toBeGreaterThan(LARGE.length);
    one.site.machine.dispose();
  });

  test("PC6: a port that comes again begins at another number", () => {
    const writes: Buffer[] = [];
    const write = (bytes: Uint8Array) => void writes.push(Buffer.from(bytes));
    const capture = new TcpCapture(write, new SetClock());
    const u8 = new Uint8Array(VsockHdr.sizeof);
    const request = new DataView(u8.buffer);
    request.setUint16(VsockHdr.type, VIRTIO_VSOCK_TYPE_STREAM, true);
    request.setUint16(VsockHdr.op, VsockOp.REQUEST, true);
    const chain = { writable: () => [u8] } as unknown as Chain;
    for (let n = 0; n < 100; n++) capture.toGuest(chain, u8.length);
    const numbers = writes.slice(1).map((record) => segment(record).seq);
    expect(new Set(numbers).size).toBe(100);
  });

  test("an orderly close has a FIN each way, and a cut one a RST", async () => {
    const one = await captured();
    one.site.get("/");
    const orderly = one.writes.slice(1).map((record) => segment(record).flags);
    expect(orderly.filter((flags) => (flags & FIN) !== 0)).toHaveLength(2);
    expect(orderly.some((flags) => (flags & RST) !== 0)).toBe(false);
    const cut = one.site.connect();
    cut.events.closed();
    one.site.settle();
    expect(segment(one.writes.at(-1) as Buffer).flags).toBe(RST | ACK);
    one.site.machine.dispose();
  });

  test("of a port only, and none of another", async () => {
    const [all, none] = [await captured({ port: 80 }), await captured({ port: 81 })];
    for (const { site } of [all, none]) site.get("/");
    expect(all.writes.length).toBeGreaterThan(5);
    expect(none.writes.map((one) => one.length)).toEqual([FRONT_BYTES]);
    for (const { site } of [all, none]) site.machine.dispose();
  });

  test("PC7: the device's books are the same with and without", async () => {
    const books = async (options: object) => {
      const site = await Site.boot(directory, options);
      for (const path of ["/", "/large.bin"]) site.get(path);
      const stats = { ...site.vsock.stats };
      site.machine.dispose();
      return stats;
    };
    const capture = new TcpCapture(() => {}, new SetClock());
    expect(await books({ vsock: { capture } })).toEqual(await books({}));
  });
});
