// The vsock device with its register file, as a real driver meets it: features, rings, kicks.
import { describe, expect, test } from "vitest";
import { COMMAND_LINE_ADDRESS } from "../../../abi/boot.ts";
import { INTERRUPT_USED_BUFFER, Mmio } from "../../../abi/virtio.ts";
import { VSOCK_QUEUE_RX, VSOCK_QUEUE_TX, VsockOp } from "../../../abi/vsock.ts";
import { VsockDevice } from "../../../host/node/devices.ts";
import { PLAIN_RINGS, RING_KINDS, type RingKind } from "../../support/ring-kinds.ts";
import { RingPuppet } from "../../support/ring-puppet.ts";
import { decode, encode, FakeNetwork, type Packet } from "../../support/vsock-puppet.ts";
import { machine } from "../../support/wat-machine.ts";

/** A driver that kicks only when the device asked for it, and halts. */
class Driver {
  readonly network = new FakeNetwork();
  readonly device = new VsockDevice({ sockets: this.network, cid: 5 });
  readonly rings: RingPuppet;

  constructor({ eventIdx, indirect }: RingKind) {
    this.rings = new RingPuppet(this.device, { eventIdx, indirect, queueSize: 16 });
  }

  send(packet: Partial<Packet>): void {
    this.#add(VSOCK_QUEUE_TX, [encode({ srcCid: 5, ...packet })], []);
  }

  /** Posts one buffer, and takes what has come. */
  receive(): Packet[] {
    this.#add(VSOCK_QUEUE_RX, [], [44, 1000]);
    return this.rings.used(VSOCK_QUEUE_RX).map((chain) => decode(chain.data));
  }

  #add(queue: number, readable: Uint8Array[], writable: number[]): void {
    this.rings.add(queue, readable, writable);
    if (this.rings.wantsKick(queue)) this.rings.kick(queue);
    this.rings.halted();
  }
}

describe.each(RING_KINDS)("a driver ($name)", (rings) => {
  test("S12, S13: runs streams over its rings", async () => {
    const driver = new Driver(rings);
    expect(driver.rings.read(Mmio.Config)).toBe(5);
    await driver.device.publish({ port: 4000, guestPort: 80 });
    const client = driver.network.client();
    const [request] = driver.receive() as [Packet];
    expect(request).toMatchObject({ op: VsockOp.REQUEST, dstCid: 5 });
    driver.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    let fwdCnt = 0;
    for (let i = 0; i < 100; i++) {
      client.say(`to guest ${i}`);
      const [packet] = driver.receive() as [Packet];
      expect(Buffer.from(packet.data).toString()).toBe(`to guest ${i}`);
      expect(driver.rings.acknowledge()).toBe(INTERRUPT_USED_BUFFER);
      fwdCnt += packet.len;
      const data = Buffer.from(`to client ${i} `);
      driver.send({ op: VsockOp.RW, hostPort: request.hostPort, data, fwdCnt });
      expect(driver.rings.used(VSOCK_QUEUE_TX).length).toBeGreaterThan(0);
    }
    expect(client.received.toString()).toContain("to client 98 to client 99 ");
  });

  test("M3, C9: resets clients on a reset by the driver, and serves the next driver", async () => {
    const driver = new Driver(rings);
    await driver.device.publish({ port: 4000, guestPort: 80 });
    const client = driver.network.client();
    const [request] = driver.receive() as [Packet];
    driver.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    driver.rings.initialise();
    expect(client.calls).toEqual(["reset"]);
    client.events.closed();
    driver.network.client();
    expect(driver.receive()).toMatchObject([{ op: VsockOp.REQUEST }]);
  });
});

describe("M14: a queue that the driver has stopped", () => {
  test.each([
    ["rx", VSOCK_QUEUE_RX],
    ["tx", VSOCK_QUEUE_TX],
  ])("%s: resets clients, and changes no byte of the guest any more", async (_, queue) => {
    const driver = new Driver({ ...PLAIN_RINGS, eventIdx: false });
    await driver.device.publish({ port: 4000, guestPort: 80 });
    const client = driver.network.client();
    const [request] = driver.receive() as [Packet];
    driver.send({ op: VsockOp.RESPONSE, hostPort: request.hostPort });
    for (let i = 0; i < 8; i++) driver.rings.add(VSOCK_QUEUE_RX, [], [44, 1000]);
    driver.rings.kick(VSOCK_QUEUE_RX);
    driver.rings.halted();
    driver.rings.write(Mmio.QueueSel, queue);
    driver.rings.write(Mmio.QueueReady, 0);
    expect(driver.rings.read(Mmio.QueueReady)).toBe(0);
    expect(client.calls).toEqual(["reset"]);
    const { u8 } = driver.rings.memory;
    const before = u8.slice();
    client.events.closed();
    const late = driver.network.client();
    late.say("hello?");
    driver.device.resetTransport();
    driver.rings.halted();
    if (queue === VSOCK_QUEUE_TX) driver.rings.kick(VSOCK_QUEUE_RX);
    driver.rings.halted();
    expect(Buffer.compare(u8, before)).toBe(0);
    driver.rings.initialise();
    driver.network.client();
    expect(driver.receive()).toMatchObject([{ op: VsockOp.REQUEST }]);
  });

  test("event: streams go on, and a move to another CID is not announced", async () => {
    const driver = new Driver({ ...PLAIN_RINGS, eventIdx: false });
    await driver.device.publish({ port: 4000, guestPort: 80 });
    driver.rings.write(Mmio.QueueSel, 2);
    driver.rings.write(Mmio.QueueReady, 0);
    driver.network.client();
    expect(driver.receive()).toMatchObject([{ op: VsockOp.REQUEST }]);
    driver.device.resetTransport(6);
    expect(driver.rings.read(Mmio.Config)).toBe(6);
  });
});

test("keeps windows, addresses and clients of two vsock devices in one machine apart", async () => {
  const networks = [new FakeNetwork(), new FakeNetwork()];
  const devices = networks.map((sockets, i) => new VsockDevice({ sockets, cid: 3 + i }));
  const { machine: two } = await machine({}, { devices });
  for (const device of devices) await device.publish({ port: 0, guestPort: 80 });
  two.boot();
  const commandLine = Buffer.from(two.memory.bytes(COMMAND_LINE_ADDRESS, 80)).toString();
  expect(commandLine).toContain("512@0x10000000:5 virtio_mmio.device=512@0x10001000:6");
  expect(two.registers.map((registers) => registers.read(Mmio.Config, 4))).toEqual([3, 4]);
  networks[1]?.client();
  expect(devices.map((device) => device.stats.connections)).toEqual([0, 1]);
  two.dispose();
  expect(networks.map((network) => network.closedListeners)).toEqual([1, 1]);
});
