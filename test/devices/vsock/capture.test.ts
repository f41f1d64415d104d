// Captures of the vsock device: every packet, as it was moved, in a form that others read.
import { execFile } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { OutputFile } from "../../../host/cli/output.ts";
import { Appliance, makeFolder, removeFolders, until } from "../../support/appliance.ts";
import { witness } from "../../support/outside-program.ts";
import { Captured, parseCapture, record } from "../../support/pcap.ts";
import {
  bootPublished,
  decode,
  encode,
  type Packet,
  type PuppetOptions,
  type VsockPuppet,
} from "../../support/vsock-puppet.ts";

const run = promisify(execFile);
const KIB = 1024;
const BOTH = 3;
const HOST_PORT = 2 ** 30; // of the first client
const CONNECT = 1;
const DISCONNECT = 2;
const CONTROL = 3;
const PAYLOAD = 4;
const running: Appliance[] = [];

afterAll(async () => {
  for (const appliance of running) await appliance.stop();
  removeFolders();
});

function pattern(bytes: number): Buffer {
  return Buffer.from(Array.from({ length: bytes }, (_, i) => (i * 7 + (i >> 8)) & 255));
}

/** The packets that the guest takes, as they are in its memory. */
function takeRaw(puppet: VsockPuppet): Uint8Array[] {
  return puppet.rx.used().map(({ len, bytes }) => bytes.subarray(0, len));
}

async function bootCaptured(options: PuppetOptions = {}) {
  const captured = new Captured();
  const puppet = await bootPublished({ capture: captured.capture, ...options });
  const send = (packet: Partial<Packet>): Uint8Array => {
    puppet.send({ hostPort: HOST_PORT, ...packet });
    return encode({ hostPort: HOST_PORT, ...packet });
  };
  return { puppet, captured, send };
}

describe("records", () => {
  test("writes the file header and a REQUEST, byte for byte", async () => {
    const { puppet, captured } = await bootCaptured({ cid: 5 });
    captured.clock.advance(1_700_000_000_123.456);
    puppet.network.client();
    const addresses = "0200000000000000 0500000000000000 00000040 50000000";
    const expected =
      "d4c3b2a1 0200 0400 00000000 00000000 4c000100 0f010000 " + // 65536 + 44 + 32, 271
      "00f15365 40e20100 4c000000 4c000000 " + // 1700000000.123456; 76 bytes
      `${addresses} 0100 0200 2c00 0000 ` +
      `${addresses} 00000000 0100 0100 00000000 00000100 00000000`;
    expect(captured.file.toString("hex")).toBe(expected.replaceAll(" ", ""));
  });

  test("holds a conversation both ways, in order, each packet at its time", async () => {
    const { puppet, captured, send } = await bootCaptured();
    const { clock } = captured;
    const client = puppet.network.client();
    expect(captured.take()).toEqual(takeRaw(puppet).map((packet) => record(0, CONNECT, packet)));

    clock.advance(1);
    const response = send({ op: VsockOp.RESPONSE });
    expect(captured.take()).toEqual([record(1000, CONNECT, response)]);

    clock.advance(0.5);
    client.say("question");
    const [question] = takeRaw(puppet) as [Uint8Array];
    expect(captured.take()).toEqual([record(1500, PAYLOAD, question)]);
    expect(Buffer.from(question.subarray(44)).toString()).toBe("question");

    clock.advance(2000);
    const answer = send({ op: VsockOp.RW, data: Buffer.from("answer"), fwdCnt: 8 });
    expect(captured.take()).toEqual([record(2_001_500, PAYLOAD, answer)]);

    const ask = send({ op: VsockOp.CREDIT_REQUEST, fwdCnt: 8 });
    const [update] = takeRaw(puppet) as [Uint8Array];
    expect(decode(update).op).toBe(VsockOp.CREDIT_UPDATE);
    expect(captured.take()).toEqual([
      record(2_001_500, CONTROL, ask),
      record(2_001_500, CONTROL, update),
    ]);

    const bye = send({ op: VsockOp.SHUTDOWN, flags: BOTH, fwdCnt: 8 });
    const [reset] = takeRaw(puppet) as [Uint8Array];
    expect(decode(reset).op).toBe(VsockOp.RST);
    expect(captured.take()).toEqual([
      record(2_001_500, DISCONNECT, bye),
      record(2_001_500, DISCONNECT, reset),
    ]);
  });

  test("S2: joins headers and payload in pieces, both ways", async () => {
    const { puppet, captured } = await bootCaptured({ rxBuffer: [10, 30, 8, 100, 4000] });
    const { client } = puppet.open();
    captured.take();
    const sent = encode({ op: VsockOp.RW, hostPort: HOST_PORT, data: pattern(3000) });
    const cuts = [0, 7, 43, 50, 2000, 3044];
    puppet.tx.add(cuts.slice(1).map((end, i) => sent.subarray(cuts[i], end)));
    puppet.device.notify();
    puppet.halt();
    client.say(pattern(3500));
    const got = takeRaw(puppet);
    expect(got.map((packet) => packet.length)).toEqual([3544]);
    expect(captured.take()).toEqual([sent, ...got].map((packet) => record(0, PAYLOAD, packet)));
    expect(client.received.equals(pattern(3000))).toBe(true);
  });

  test("leaves out the room after a packet's payload", async () => {
    const { captured, send } = await bootCaptured();
    send({ op: VsockOp.RW, len: 3, data: Buffer.from("yes, and no") });
    const sent = encode({ op: VsockOp.RW, hostPort: HOST_PORT, data: Buffer.from("yes") });
    expect(captured.take()[0]).toEqual(record(0, PAYLOAD, sent));
  });

  test("records bytes that were read in place as the guest gets them", async () => {
    const { puppet, captured, send } = await bootCaptured({
      receive: "in-place",
      rxBuffer: [44, 64 * KIB],
      rxBuffers: 16,
    });
    const client = puppet.network.client();
    send({ op: VsockOp.RESPONSE, bufAlloc: 1 << 30 });
    client.say(pattern(150_000));
    expect(puppet.device.stats.bytesInPlace).toBe(150_000);
    const packets = captured.take().map((one) => one.subarray(48));
    packets.splice(1, 1); // the guest's RESPONSE
    const got = takeRaw(puppet);
    expect(got.map((packet) => packet.length)).toEqual([44, 65580, 65580, 18972]);
    expect(packets).toEqual(got.map((packet) => Buffer.from(packet)));
  });

  test("counts no copies and changes nothing that the guest gets", async () => {
    const { capture } = new Captured();
    const outcomes = [null, capture].map(async (one) => {
      const puppet = await bootPublished({ capture: one });
      const { client, hostPort } = puppet.open({ bufAlloc: 1 << 20 });
      const packets: Packet[] = [];
      for (let i = 0; i < 40; i++) {
        client.say(pattern(100 * i + 1));
        packets.push(...puppet.take());
      }
      puppet.send({ op: VsockOp.RW, hostPort, data: pattern(9000) });
      packets.push(...puppet.take());
      return { stats: { ...puppet.device.stats }, packets };
    });
    const [without, captured] = await Promise.all(outcomes);
    expect(captured).toEqual(without);
  });
});

describe("packets that a guest should not have sent", () => {
  test("V8: records a packet with a false address, and one to nobody with its reset", async () => {
    const { puppet, captured, send } = await bootCaptured();
    const foreign = send({ op: VsockOp.RW, srcCid: 9, data: Buffer.from("who?") });
    const lost = send({ op: VsockOp.RW, data: Buffer.from("where?") });
    expect(puppet.device.stats.rejected).toBe(1);
    expect(captured.take()).toEqual([
      record(0, PAYLOAD, foreign),
      record(0, PAYLOAD, lost),
      record(0, DISCONNECT, takeRaw(puppet)[0] as Uint8Array),
    ]);
  });

  test("V12: records the bytes that exist of a short payload, and 64 KiB of an endless one", async () => {
    const { captured, send } = await bootCaptured();
    const short = send({ op: VsockOp.RW, len: 0xffffffff, data: Buffer.from("short") });
    const long = send({ op: VsockOp.RW, data: pattern(100_000) });
    const packets = parseCapture(captured.file).filter(({ monOp }) => monOp === PAYLOAD);
    expect(packets.map(({ fullBytes }) => fullBytes - 32)).toEqual([49, 100_044]);
    expect(packets[0]?.packet).toEqual(Buffer.from(short));
    expect(packets[1]?.packet).toEqual(Buffer.from(long.subarray(0, 44 + 65536)));
  });

  test("K3: records invalid operations as unknown", async () => {
    const { captured, send } = await bootCaptured();
    const packets = [send({ op: VsockOp.INVALID }), send({ op: 8 }), send({ op: 0xffff })];
    const unknown = packets.map((packet) => record(0, 0, packet));
    expect(captured.take().filter((one) => one.readUInt16LE(40) === 0)).toEqual(unknown);
  });

  test("records neither a chain shorter than a header nor an unused rx buffer", async () => {
    const { puppet, captured } = await bootCaptured({ rxBuffers: 0 });
    puppet.tx.add([encode({}).subarray(0, 43)]);
    puppet.rx.add([43]);
    puppet.network.client();
    puppet.device.notify();
    puppet.halt();
    expect(puppet.device.stats.rejected).toBe(2);
    expect(captured.take()).toEqual([]);
  });
});

describe("the file", () => {
  const open = (failed: (message: string) => void = () => {}) => {
    const path = `${makeFolder()}/vsock.pcap`;
    return { path, file: new OutputFile("capture", path, failed) };
  };

  test("gathers small records, writes large ones through in order, and ends with the last", () => {
    const { path, file } = open();
    const parts = [100, 30_000, 30_000, 30_000, 65_628, 10, 65_536, 1].map(pattern);
    file.write(parts[0] as Buffer);
    expect(readFileSync(path)).toHaveLength(0);
    for (const part of parts.slice(1)) file.write(part);
    file.close();
    file.close();
    file.write(pattern(10));
    file.write(pattern(70_000));
    expect(readFileSync(path).equals(Buffer.concat(parts))).toBe(true);
  });

  test("is written while it is open", async () => {
    const { path, file } = open();
    file.write(pattern(10));
    await until(() => readFileSync(path).length === 10);
    file.write(pattern(20));
    await until(() => readFileSync(path).length === 30);
    file.close();
  });

  test("replaces an older file", () => {
    const path = `${makeFolder()}/old.pcap`;
    writeFileSync(path, "yesterday's");
    new OutputFile("capture", path, () => {}).close();
    expect(readFileSync(path)).toHaveLength(0);
  });

  test.runIf(process.platform === "linux")("ends on a full disk, which is reported once", () => {
    const told: string[] = [];
    const file = new OutputFile("capture", "/dev/full", (message) => told.push(message));
    for (let i = 0; i < 10; i++) file.write(pattern(30_000));
    file.write(pattern(70_000));
    file.close();
    expect(told).toEqual([expect.stringMatching(/^the capture \/dev\/full ends here: ENOSPC/)]);
  });
});

describe("torito --pcap", () => {
  const SITE = "apps/web-server/site";
  const PICTURE = readFileSync(`${SITE}/img/torito.png`);

  /** Serves the site to one client and ends; returns the path of the capture. */
  async function capture(): Promise<{ path: string; response: string }> {
    const path = `${makeFolder()}/vsock.pcap`;
    const appliance = await Appliance.serve(SITE, "--pcap", path);
    running.push(appliance);
    const head = "GET /img/torito.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const response = await appliance.raw(head);
    expect(await appliance.stop()).toBe(0);
    return { path, response };
  }

  test("writes the whole request and response", async () => {
    const { path, response } = await capture();
    const packets = parseCapture(readFileSync(path));
    const payloads = packets
      .filter(({ monOp }) => monOp === PAYLOAD)
      .map(({ packet }) => decode(packet));
    const text = (srcCid: number) =>
      Buffer.concat(payloads.filter((one) => one.srcCid === srcCid).map(({ data }) => data));
    expect(text(2).toString()).toMatch(/^GET \/img\/torito\.png HTTP\/1\.1\r\n/);
    expect(text(3).toString("latin1") === response).toBe(true);
    expect(response.endsWith(PICTURE.toString("latin1"))).toBe(true);
    const now = Date.now() * 1000;
    for (const { us } of packets) expect(Math.abs(now - us)).toBeLessThan(3600e6);
    const times = packets.map(({ us }) => us);
    expect(times).toEqual(times.toSorted((a, b) => a - b));
  });

  test("a file that cannot be created: 69 and one line, before the guest boots", async () => {
    const path = `${makeFolder()}/no/vsock.pcap`;
    const appliance = new Appliance(["serve", SITE, "--pcap", path]);
    expect(await appliance.exited).toBe(69);
    expect(appliance.stdout).toBe("");
    expect(appliance.stderr).toMatch(/^torito: --pcap .*\/no\/vsock\.pcap: ENOENT.*\n$/);
    expect(existsSync(path)).toBe(false);
  });

  test.runIf(process.platform === "linux")(
    "a full disk costs the capture, not the machine; it is reported at once, and by the exit code",
    async () => {
      const appliance = await Appliance.serve(SITE, "--pcap", "/dev/full");
      running.push(appliance);
      for (let i = 0; i < 3; i++) {
        const head = "GET /img/torito.png HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
        expect(await appliance.raw(head)).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      }
      expect(await appliance.stop()).toBe(69);
      expect(appliance.stderr.match(/error: the capture \/dev\/full ends here/g)).toHaveLength(1);
    },
  );

  /** One line per packet: the fields, separated by spaces. */
  async function fields(path: string, filter: string, ...names: string[]): Promise<string[]> {
    const wanted = names.flatMap((name) => ["-e", name]);
    const words = ["-r", path, "-Y", filter, "-T", "fields", "-E", "separator=/s", ...wanted];
    const { stdout } = await run("tshark", words, { maxBuffer: 1 << 24 });
    return stdout.split("\n").filter((line) => line !== "");
  }

  witness("tshark", "reads the capture of a request, payload and all", async () => {
    const { path, response } = await capture();
    expect(await fields(path, "_ws.malformed || _ws.short", "frame.number")).toEqual([]);
    const summary = await run("tshark", ["-r", path]);
    expect(summary.stdout).toMatch(/ host → 3 .*\[Connect\] Virtio: Stream, Op: Request/);
    expect(summary.stdout).toMatch(/ 3 → host .*\[Payload\] Virtio: Stream, Op: RW/);
    const hex = async (filter: string) => (await fields(path, filter, "vsock.payload")).join("");
    const answer = Buffer.from(await hex("vsock.src_cid == 3"), "hex");
    expect(answer.toString("latin1") === response).toBe(true);
    const question = Buffer.from(await hex("vsock.src_cid == 2"), "hex");
    expect(question.toString()).toMatch(/^GET \/img\/torito\.png HTTP\/1\.1\r\n/);
  });

  witness("tshark", "decodes operations, addresses and lengths", async () => {
    const { puppet, captured, send } = await bootCaptured({ cid: 7 });
    const client = puppet.network.client();
    const from = { srcCid: 7, guestPort: 80 };
    send({ ...from, op: VsockOp.RESPONSE });
    client.say("hello");
    send({ ...from, op: VsockOp.RW, data: pattern(1000), fwdCnt: 5 });
    send({ ...from, op: VsockOp.CREDIT_REQUEST, fwdCnt: 5 });
    send({ ...from, op: VsockOp.SHUTDOWN, flags: BOTH, fwdCnt: 5 });
    send({ ...from, op: VsockOp.RW, hostPort: 9, len: 50, data: Buffer.from("not 50") });
    const path = `${makeFolder()}/script.pcap`;
    writeFileSync(path, captured.file);
    const names = ["op", "src_cid", "src_port", "dst_cid", "dst_port", "virtio.op", "virtio.len"];
    const lines = await fields(path, "vsock", ...names.map((name) => `vsock.${name}`));
    expect(lines).toEqual([
      "1 2 1073741824 7 80 1 0",
      "1 7 80 2 1073741824 2 0",
      "4 2 1073741824 7 80 5 5",
      "4 7 80 2 1073741824 5 1000",
      "3 7 80 2 1073741824 7 0",
      "3 2 1073741824 7 80 6 0",
      "2 7 80 2 1073741824 4 0",
      "2 2 1073741824 7 80 3 0",
      "4 7 80 2 9 5 50",
      "2 2 9 7 80 3 0",
    ]);
    const rest = ["vsock.trans", "vsock.trans_len", "vsock.virtio.type", "vsock.virtio.flags"];
    const details = await fields(path, "vsock.virtio.op == 4", ...rest);
    expect(details).toEqual(["2 44 1 0x00000003"]);
    expect(await fields(path, "_ws.malformed || _ws.short", "frame.number")).toEqual([]);
  });
});
