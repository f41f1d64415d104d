// TRANSPORT_RESET of the device (virtio 5.10.6.7): the guest was moved, and may have another CID.
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { VsockConfig, VsockOp } from "../../../abi/vsock.ts";
import { VsockDevice, VsockSwitch } from "../../../host/node/devices.ts";
import { RING_KINDS } from "../../support/ring-kinds.ts";
import { linked } from "../../support/switched-machines.ts";
import { bootPublished, type VsockPuppet } from "../../support/vsock-puppet.ts";

const TRANSPORT_RESET = Uint8Array.from([0, 0, 0, 0]);

const cidOf = ({ config }: VsockDevice) =>
  new DataView(config.buffer).getBigUint64(VsockConfig.guest_cid, true);

function postEvents(puppet: VsockPuppet, ...sizes: number[]): void {
  for (const size of sizes) puppet.events.add([size]);
  if (puppet.events.kick()) puppet.device.notify();
  puppet.halt();
}

describe.each(RING_KINDS)("the device ($name)", (rings) => {
  test("V20, V21, V22: notifies the guest, resets its clients, and answers to the new CID alone", async () => {
    const puppet = await bootPublished({ rings });
    postEvents(puppet, 4, 4);
    const { client, hostPort } = puppet.open();
    puppet.device.resetTransport(9);
    expect(cidOf(puppet.device)).toBe(9n);
    expect(puppet.events.used()).toMatchObject([{ len: 4, bytes: TRANSPORT_RESET }]);
    expect(puppet.events.interrupts).toBe(1);
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    expect([puppet.device.stats.connections, puppet.take()]).toEqual([0, []]);
    puppet.send({ op: VsockOp.RW, hostPort, data: Buffer.from("late") });
    expect([puppet.take(), puppet.device.stats.rejected]).toEqual([[], 1]);
    puppet.network.client();
    expect(puppet.take()).toMatchObject([{ op: VsockOp.REQUEST, dstCid: 9, cidHigh: 0 }]);
  });

  test("V21: lands nothing from old sockets in the guest's buffers", async () => {
    const puppet = await bootPublished({ rings, receive: "in-place" });
    const { client } = puppet.open();
    client.say(Buffer.alloc(100_000, "a"));
    puppet.take();
    puppet.device.resetTransport();
    const before = Buffer.from(puppet.memory.u8).toString("latin1");
    client.say(Buffer.alloc(100_000, "b"));
    expect(Buffer.from(puppet.memory.u8).toString("latin1")).toBe(before);
    client.events.closed();
    expect(puppet.device.holdings.rxBuffers).toBe(0);
  });

  test("V19: merges several resets into one event, which waits for a buffer", async () => {
    const puppet = await bootPublished({ rings });
    puppet.device.resetTransport(4);
    puppet.device.resetTransport(5);
    expect(puppet.events.used()).toEqual([]);
    postEvents(puppet, 4, 4);
    expect(puppet.events.used()).toMatchObject([{ len: 4, bytes: TRANSPORT_RESET }]);
    puppet.halt();
    expect(puppet.events.used()).toEqual([]);
  });

  test("K20: returns a buffer too small for an event empty, and takes the next one", async () => {
    const puppet = await bootPublished({ rings });
    postEvents(puppet, 3, 8);
    puppet.events.add([TRANSPORT_RESET, 4]);
    puppet.device.resetTransport();
    expect(puppet.events.used().map(({ len }) => len)).toEqual([0, 4]);
    puppet.device.resetTransport();
    postEvents(puppet, 4);
    expect(puppet.events.used().map(({ len }) => len)).toEqual([0, 4]);
    expect(puppet.device.stats.rejected).toBe(2);
  });

  test("sends no event to a driver that begins anew", async () => {
    const puppet = await bootPublished({ rings });
    puppet.device.resetTransport();
    puppet.device.reset();
    puppet.boot();
    postEvents(puppet, 4);
    expect(puppet.events.used()).toEqual([]);
  });

  test.each([2, 0xffffffff, 4])("V10: refuses to move to CID %i, and changes nothing", (cid) => {
    const network = new VsockSwitch();
    const device = new VsockDevice({ cid: 3, switch: network });
    const other = new VsockDevice({ cid: 4, switch: network });
    expect(() => device.resetTransport(cid)).toThrow(`CID ${cid} is`);
    expect([cidOf(device), cidOf(other), network.cids]).toEqual([3n, 4n, [3, 4]]);
  });
});

describe("guests", () => {
  test("V21, V22: end connections on both sides, and find listeners by the new CID", async () => {
    const { a, b, near, far, fleet } = await linked();
    const reading = b.start("recv", far, b.allocate(10), 10);
    expect(reading()).toBeUndefined();
    b.vsock.resetTransport(7);
    fleet.settle();
    expect(reading()).toBe(-Errno.ECONNRESET);
    expect(a.read(near, 1)).toMatchObject({ end: -Errno.ECONNRESET });
    expect([a.vsock.stats.connections, b.vsock.stats.connections]).toEqual([0, 0]);
    expect(a.connect(4, 80)[1]).toBe(-Errno.ECONNRESET);
    const [again, connected] = a.connect(7, 80);
    expect(connected).toBe(0);
    a.send(again, Buffer.from("hello"));
    expect(fleet.network.cids.sort()).toEqual([3, 7]);
    expect(fleet.faults()).toBe(0);
  });

  test("V20: serves again after each of several resets", async () => {
    const { a, b, fleet } = await linked();
    for (let cid = 10; cid < 60; cid++) {
      b.vsock.resetTransport(cid);
      fleet.settle();
      expect(a.connect(cid, 80)[1]).toBe(0);
    }
    expect(fleet.faults()).toBe(0);
  });
});
