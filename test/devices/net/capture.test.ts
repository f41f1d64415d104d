// Captures of network devices: the bytes of a pcap file, and what Wireshark reads in it.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { NetSwitch } from "../../../host/devices/net/switch.ts";
import { ManualClock } from "../../../host/manual-clock.ts";
import { FrameCapture } from "../../../host/node/devices.ts";
import { makeFolder, removeFolders } from "../../support/appliance.ts";
import { BROADCAST, card, digests, echo, ipFrame, noise, whoHas } from "../../support/frames.ts";
import { NetPuppet } from "../../support/net-puppet.ts";
import { witness } from "../../support/outside-program.ts";

afterAll(removeFolders);

const FILE_BYTES = 24;
const RECORD_BYTES = 16;

/** Two guests, of which the first is captured. */
function captured(snaplen?: number) {
  const clock = new ManualClock(123_456);
  const writes: Buffer[] = [];
  const write = (bytes: Uint8Array) => void writes.push(Buffer.from(bytes));
  const capture = new FrameCapture(write, clock, snaplen === undefined ? {} : { snaplen });
  const network = new NetSwitch();
  const left = new NetPuppet({ network, clock, mac: card(1), capture });
  const right = new NetPuppet({ network, clock, mac: card(2) });
  return { clock, writes, left, right };
}

describe("NB9: a capture", () => {
  test("has the magic of nanoseconds, and the link type of Ethernet", () => {
    const [file] = captured().writes as [Buffer];
    expect(file).toHaveLength(FILE_BYTES);
    expect(file.readUInt32LE(0)).toBe(0xa1b23c4d);
    expect(file.readUInt32LE(20)).toBe(1);
    expect(file.readUInt32LE(16)).toBe(65550);
  });

  test("has a record for each frame of either direction, to the nanosecond", () => {
    const { clock, writes, left, right } = captured();
    const sent = whoHas("10.0.0.2", "10.0.0.1", card(1));
    const answer = whoHas("10.0.0.1", "10.0.0.2", card(2));
    clock.advance(1.000007);
    left.send(sent);
    clock.advance(2500);
    right.send(answer);
    const records = writes.slice(1);
    const times = records.map((one) => one.readUInt32LE(0) * 1e9 + one.readUInt32LE(4));
    expect((times[1] as number) - (times[0] as number)).toBe(2.5e9);
    expect(times[0]).toBe(1_123_463);
    expect(digests(records.map((one) => one.subarray(RECORD_BYTES)))).toEqual(
      digests([sent, answer]),
    );
  });

  test("keeps as much of a frame as it was told to, and its length", () => {
    const { writes, left } = captured(60);
    left.send(
      ipFrame({ source: "10.0.0.1", destination: "10.0.0.2", payload: noise(500), from: card(1) }),
    );
    const record = writes[1] as Buffer;
    expect([record.length, record.readUInt32LE(8), record.readUInt32LE(12)]).toEqual([76, 60, 534]);
  });

  test("leaves out frames that the device drops", () => {
    const { writes, left } = captured();
    left.sendRaw([noise(13)], [noise(5000)]);
    left.device.hasLink = false;
    left.send(whoHas("10.0.0.2", "10.0.0.1", card(1)));
    expect(writes).toHaveLength(1);
  });
});

witness(
  "tshark",
  "NB9: Wireshark reads the frames, and finds nothing wrong with them",
  async () => {
    const { writes, left, right } = captured();
    left.send(whoHas("10.0.0.2", "10.0.0.1", card(1)));
    const [from, to] = ["10.0.0.1", "10.0.0.2"];
    left.send(
      ipFrame({ from: card(1), to: card(2), source: from, destination: to, payload: echo({}) }),
    );
    right.send(
      ipFrame({
        from: card(2),
        to: card(1),
        source: to,
        destination: from,
        payload: echo({ type: 0 }),
      }),
    );
    const path = join(makeFolder(), "frames.pcap");
    writeFileSync(path, Buffer.concat(writes));
    const fields = ["eth.dst", "_ws.col.Protocol", "icmp.checksum.status", "ip.src"];
    const args = ["-r", path, "-T", "fields", ...fields.flatMap((one) => ["-e", one])];
    const rows = execFileSync("tshark", args, { encoding: "utf8", stdio: "pipe" })
      .trimEnd()
      .split("\n");
    expect(rows.map((row) => row.split("\t"))).toEqual([
      [BROADCAST, "ARP", "", ""],
      [card(2), "ICMP", "1", from],
      [card(1), "ICMP", "1", to],
    ]);
  },
);
