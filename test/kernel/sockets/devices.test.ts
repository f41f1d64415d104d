// Two vsock devices in one machine: sockets of each, and a device of its own for one application.
import { expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockOp } from "../../../abi/vsock.ts";
import { bytes, SO_BINDTODEVICE, socketGuests, text } from "../../support/socket-guest.ts";

const boot = await socketGuests();

test("the same port listens on each device, and a connection stays with its own", async () => {
  const g = await boot({ second: true });
  const listeners = [0, 1].map((device) => {
    const socket = g.call("SysSocket", 1);
    expect(g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, device)).toBe(0);
    expect(g.call("SysSocketBind", socket, 80)).toBe(0);
    expect(g.call("SysSocketListen", socket, 8)).toBe(0);
    return socket;
  });
  const at = g.allocate(16);
  for (const [i, device] of [g.device, g.other].entries()) {
    device.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
    const socket = g.now("accept", listeners[i] as number);
    expect(device.sent.map((one) => one.op)).toEqual([VsockOp.RESPONSE]);
    device.inject({ op: VsockOp.RW, srcPort: 7, dstPort: 80 }, bytes(`device ${i}`));
    expect(g.now("recv", socket, at, 16)).toBe(8);
    expect(text(g.bytes(at, 8))).toBe(`device ${i}`);
    expect(g.now("send", socket, at, 8)).toBe(8);
    expect(text(device.sent.at(-1)?.payload as Uint8Array)).toBe(`device ${i}`);
  }
  expect(g.device.sent.filter((one) => one.op === VsockOp.RW)).toHaveLength(1);
  expect(g.other.sent.filter((one) => one.op === VsockOp.RW)).toHaveLength(1);
});

test("a socket that is bound to no device listens on all, and connects by the first", async () => {
  const g = await boot({ second: true });
  const listener = g.listen(80);
  g.other.inject({ op: VsockOp.REQUEST, srcPort: 7, dstPort: 80 });
  const accepted = g.now("accept", listener);
  g.now("send", accepted, g.allocate(8), 8);
  expect(g.other.sent.map((one) => one.op)).toEqual([VsockOp.RESPONSE, VsockOp.RW]);
  const socket = g.call("SysSocket", 1);
  g.start("connect", socket, 2, 99);
  expect(g.device.sent.map((one) => one.op)).toEqual([VsockOp.REQUEST]);
});

test("a connect goes out by the device it is bound to", async () => {
  const g = await boot({ second: true });
  const socket = g.call("SysSocket", 1);
  g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, 1);
  const call = g.start("connect", socket, 2, 99);
  const [request] = g.other.sent;
  expect(request).toMatchObject({ op: VsockOp.REQUEST, dstPort: 99 });
  const dstPort = request?.srcPort ?? 0;
  g.device.inject({ op: VsockOp.RESPONSE, srcPort: 99, dstPort });
  expect(call.result).toBeUndefined(); // the answer came from the wrong device
  g.other.inject({ op: VsockOp.RESPONSE, srcPort: 99, dstPort });
  expect(call.result).toBe(0);
});

test("a device that is not there is ENODEV; a socket with a port cannot change: EINVAL", async () => {
  const g = await boot({ second: true });
  const socket = g.call("SysSocket", 1);
  expect(g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, 2)).toBe(-Errno.ENODEV);
  g.call("SysSocketBind", socket, 80);
  expect(g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, 1)).toBe(-Errno.EINVAL);
});

test("a device that loses its connections leaves those of the other alone", async () => {
  const g = await boot({ second: true });
  const first = g.accept(g.listen(80), 80, 7);
  const socket = g.call("SysSocket", 1);
  g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, 1);
  const call = g.start("connect", socket, 2, 99);
  const dstPort = g.other.sent[0]?.srcPort ?? 0;
  g.other.inject({ op: VsockOp.RESPONSE, srcPort: 99, dstPort });
  expect(call.result).toBe(0);
  g.other.event(0); // TRANSPORT_RESET
  const at = g.allocate(16);
  expect(g.now("send", socket, at, 8)).toBe(-Errno.ECONNRESET);
  expect(g.now("send", first, at, 8)).toBe(8);
});

test("a ring of one device that is full does not stop the other", async () => {
  const g = await boot({ second: true, queueSize: 16 });
  const first = g.accept(g.listen(80), 80, 7, 1 << 26);
  g.device.consuming = false;
  const at = g.allocate(1000);
  const calls = Array.from({ length: 200 }, () => g.start("send", first, at, 1000));
  expect(calls.at(-1)?.result).toBeUndefined();
  const socket = g.call("SysSocket", 1);
  g.call("SysSocketSetOption", socket, SO_BINDTODEVICE, 1);
  const connected = g.start("connect", socket, 2, 99);
  const dstPort = g.other.sent[0]?.srcPort ?? 0;
  g.other.inject({ op: VsockOp.RESPONSE, srcPort: 99, dstPort });
  expect(connected.result).toBe(0);
  expect(g.now("send", socket, at, 1000)).toBe(1000);
});
