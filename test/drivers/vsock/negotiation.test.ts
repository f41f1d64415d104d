// Features that the vsock driver negotiates and addresses of its packets, by number (virtio 5.10).
// Connections, flow, resets and lies have files of their own: vsock-driver-*.test.ts.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { RINGS } from "../../support/ring-kinds.ts";
import { bytes, GUEST_CID, type GuestOptions, socketGuests } from "../../support/socket-guest.ts";

const make = await socketGuests();
const [STREAM, SEQPACKET] = [1, 5];

describe.each(RINGS)("with %s", (_, withheld) => {
  const boot = (options: GuestOptions = {}) => make({ withheld, ...options });

  test.each([
    ["V2: no feature at all: streams", 0b000n, true, false],
    ["V2: STREAM alone: streams", 0b001n, true, false],
    ["V3: SEQPACKET without NO_IMPLIED_STREAM: streams as well", 0b010n, true, true],
    ["V1: NO_IMPLIED_STREAM and SEQPACKET: no streams", 0b110n, false, true],
    ["V1: NO_IMPLIED_STREAM and STREAM: no messages", 0b101n, true, false],
    ["V1: NO_IMPLIED_STREAM alone: nothing at all", 0b100n, false, false],
    ["V1: all of them: both", 0b111n, true, true],
  ] as const)("%s, and what is offered is accepted", async (_, features, streams, messages) => {
    const g = await boot({ features });
    expect(g.device.accepted & 0xffffffn).toBe(features);
    const unsupported = -Errno.EPROTONOSUPPORT;
    for (const [type, carried] of [
      [STREAM, streams],
      [SEQPACKET, messages],
    ] as const) {
      const socket = g.call("SysSocket", type);
      if (carried) expect(socket).toBeGreaterThan(0);
      else expect(socket).toBe(unsupported);
    }
    expect(g.call("SysSocket", 2)).toBe(unsupported);
  });

  test("V2: without a feature a connection lives from REQUEST to RST", async () => {
    const g = await boot({ features: 0n });
    const socket = g.accept(g.listen(80), 80, 7);
    g.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes("plain"));
    const at = g.allocate(8);
    expect(g.now("recv", socket, at, 8)).toBe(5);
    expect(g.now("send", socket, at, 5)).toBe(5);
    g.now("close", socket);
    g.inject({ op: VsockOp.RST, srcPort: 7, dstPort: 80, fwdCnt: 5 });
    const [response, data, shutdown] = g.sent();
    expect([response, data, shutdown].map((one) => one!.op)).toEqual([
      VsockOp.RESPONSE,
      VsockOp.RW,
      VsockOp.SHUTDOWN,
    ]);
    expect(g.call("liveSockets")).toBe(1);
  });

  test("V8, V23: every packet comes from guest_cid, and the upper halves of both CIDs are 0", async () => {
    const g = await boot();
    const listener = g.listen(80);
    const socket = g.accept(listener, 80, 7);
    const at = g.allocate(100_000);
    g.now("send", socket, at, 10);
    g.start("send", socket, at, 100_000);
    g.inject({ op: VsockOp.CREDIT_REQUEST, srcPort: 7, dstPort: 80 });
    g.now("shutdown", socket, 2);
    g.start("connect", g.call("SysSocket", STREAM), 0xfffffffe, 5000);
    g.inject({ op: VsockOp.RW, srcPort: 9, dstPort: 81, srcCid: 0xfffffffd }, bytes("for nobody"));
    g.inject({ op: 99, srcPort: 7, dstPort: 80 });
    const sent = g.sent();
    // Read as 64 bits: an upper half that is not 0 makes another number.
    expect(new Set(sent.map((one) => one.srcCid))).toEqual(new Set([GUEST_CID]));
    expect(new Set(sent.map((one) => one.dstCid))).toEqual(new Set([2, 0xfffffffd, 0xfffffffe]));
    expect(new Set(sent.map((one) => one.op))).toEqual(
      new Set([
        VsockOp.RESPONSE,
        VsockOp.RW,
        VsockOp.CREDIT_UPDATE,
        VsockOp.SHUTDOWN,
        VsockOp.REQUEST,
        VsockOp.RST,
      ]),
    );
  });

  test("V31: packets for another CID are dropped without an answer, for a listener too", async () => {
    const g = await boot();
    const listener = g.listen(80);
    for (const dstCid of [0, 1, 2, 4, 0xffffffff]) {
      for (const op of [VsockOp.REQUEST, VsockOp.RST, VsockOp.RW]) {
        g.inject({ op, srcPort: 7, dstPort: 80, dstCid });
      }
    }
    expect(g.sent()).toEqual([]);
    expect(g.accept(listener, 80, 7)).toBeGreaterThan(0);
  });
});
