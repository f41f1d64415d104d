// Toro's packet calls, below the sockets.
import { expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { bytes, packet, socketGuests, text } from "../../support/socket-guest.ts";

const boot = await socketGuests();

test("SysNetworkSend takes a packet and the kernel frees it; SysNetworkRead gives one", async () => {
  const g = await boot();
  const before = g.call("inUse");
  const p = g.call("AllocatePacket", 100) >>> 0;
  const header = g.call("headerOf", p) >>> 0;
  const payload = bytes("raw");
  g.bytes(header, 44).set(packet({ op: VsockOp.RW, srcPort: 1, dstPort: 2 }, new Uint8Array(0)));
  g.bytes(g.call("payloadOf", p) >>> 0, 3).set(payload);
  g.machine.memory.view.setUint32(p + 16, 3, true);
  expect(g.call("SysNetworkSend", p)).toBe(0);
  expect(text(g.sent()[0]!.payload)).toBe("raw");
  expect(g.call("inUse")).toBe(before);
  expect(g.call("SysNetworkRead")).toBe(0);
  g.inject({ op: VsockOp.RW, srcPort: 1, dstPort: 2 }, bytes("back"));
  const read = g.call("SysNetworkRead") >>> 0;
  expect(read).toBeGreaterThan(0);
  expect(text(g.bytes(g.call("payloadOf", read) >>> 0, 4))).toBe("back");
  g.call("releasePacket", read);
});
