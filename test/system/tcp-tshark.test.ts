// Wireshark as a witness of what the guest's TCP sends, between twins and with Linux: nothing is
// malformed, no checksum is wrong, and without a loss nothing is sent twice.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { FrameCapture } from "../../host/index.ts";
import { systemClock } from "../../host/node/clock.ts";
import { makeFolder, removeFolders } from "../support/appliance.ts";
import { compileGuest } from "../support/guest.ts";
import { hashOf, withLinux } from "../support/linux-peer.ts";
import { linuxWitness, witness } from "../support/outside-program.ts";
import { runTwins } from "../support/twin-script.ts";

afterAll(removeFolders);

const image = await compileGuest("test/guest/tcp.ts");
/** CSUM, GUEST_CSUM, GUEST_TSO4 and HOST_TSO4: a capture shows what a card would still do. */
const OFFLOADS = [0, 1, 7, 11].reduce((sum, bit) => sum | (1n << BigInt(bit)), 0n);
const WRONG = "_ws.malformed or tcp.checksum.status == 0 or ip.checksum.status == 0";
const TWICE = "tcp.analysis.retransmission or tcp.analysis.fast_retransmission";
/** On a busy machine Linux may answer later than a tail loss probe waits: at least 10 ms. */
const TWICE_AT_ONCE = `(${TWICE}) and not tcp.analysis.rto >= 0.01`;
/** The byte of a probe is sent again with those after it, when the window opens. */
const PROBED = "tcp.analysis.zero_window_probe or tcp.analysis.zero_window";

/** Frames that a filter of tshark's shows, one a line. */
function shown(capture: readonly Buffer[], filter: string): string[] {
  const path = join(makeFolder(), "frames.pcap");
  writeFileSync(path, Buffer.concat(capture));
  const checks = ["tcp.check_checksum:TRUE", "ip.check_checksum:TRUE"].flatMap((o) => ["-o", o]);
  const args = ["-r", path, ...checks, "-Y", filter];
  const output = execFileSync("tshark", args, { encoding: "utf8", stdio: "pipe" });
  return output.split("\n").filter((line) => line !== "");
}

witness("tshark", "twins: nothing is wrong, and without faults nothing is sent twice", async () => {
  let frames = 0;
  for (let seed = 1; seed <= 12; seed++) {
    const capture: Buffer[] = [];
    const write = (bytes: Uint8Array) => void capture.push(Buffer.from(bytes));
    await runTwins(image, seed, {
      isPlain: true,
      withheld: OFFLOADS,
      capture: (clock) => new FrameCapture(write, clock),
    });
    frames += capture.length;
    expect(shown(capture, WRONG), `seed ${seed}`).toEqual([]);
    const hasProbes = shown(capture, PROBED).length > 0;
    if (!hasProbes) expect(shown(capture, TWICE), `seed ${seed}`).toEqual([]);
  }
  expect(frames).toBeGreaterThan(1000);
});

witness("tshark", "twins: nothing is wrong with frames that faults called forth", async () => {
  for (let seed = 1; seed <= 4; seed++) {
    const capture: Buffer[] = [];
    const write = (bytes: Uint8Array) => void capture.push(Buffer.from(bytes));
    await runTwins(image, seed, {
      withheld: OFFLOADS,
      capture: (clock) => new FrameCapture(write, clock),
    });
    // Damage happens on the way to the other guest, so what this one has sent is whole.
    expect(shown(capture, `ip.src == 10.0.0.1 and (${WRONG})`), `seed ${seed}`).toEqual([]);
  }
});

linuxWitness(
  "with Linux: nothing is wrong, and nothing that is answered is sent twice",
  async () => {
    const capture: Buffer[] = [];
    const write = (bytes: Uint8Array) => void capture.push(Buffer.from(bytes));
    await withLinux({ capture: new FrameCapture(write, systemClock) }, async ({ run, nc }) => {
      const guest = nc("port=5001");
      await guest.started;
      await run("head -c 2000000 /dev/zero | nc -N 10.9.0.1 5001");
      expect(await guest.ended).toContain(`SHA-256 ${hashOf(Buffer.alloc(2_000_000))}`);
    });
    expect(capture.length).toBeGreaterThan(1000);
    expect(shown(capture, `ip.src == 10.9.0.1 and (${WRONG})`)).toEqual([]);
    expect(shown(capture, `ip.src == 10.9.0.1 and ${TWICE_AT_ONCE}`)).toEqual([]);
  },
  "tshark",
);

linuxWitness(
  "to Linux: nothing is wrong, and nothing that is answered is sent twice",
  async () => {
    const capture: Buffer[] = [];
    const write = (bytes: Uint8Array) => void capture.push(Buffer.from(bytes));
    const tap = new FrameCapture(write, systemClock);
    await withLinux({ capture: tap }, async ({ receive, nc }) => {
      await receive(() => nc("to=10.9.0.2 bytes=2000000").ended);
    });
    expect(capture.length).toBeGreaterThan(1000);
    expect(shown(capture, `ip.src == 10.9.0.1 and (${WRONG})`)).toEqual([]);
    expect(shown(capture, `ip.src == 10.9.0.1 and ${TWICE_AT_ONCE}`)).toEqual([]);
  },
  "tshark",
);
