// Calls to a device whose machine has ended, or that is in none: every promise is settled. And
// devices that a guest could not tell apart.
import { mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { VsockOp } from "../../../abi/vsock.ts";
import { FsDevice, VsockDevice, VsockSwitch } from "../../../host/node/devices.ts";
import { compileGuest } from "../../support/guest.ts";
import { BothHalves } from "../../support/kernel-and-devices.ts";
import { bootPublished, type Packet } from "../../support/vsock-puppet.ts";
import { machine } from "../../support/wat-machine.ts";

const folder = mkdtempSync(join(tmpdir(), "torito-"));
afterAll(() => rmSync(folder, { recursive: true }));
const image = await compileGuest("test/guest/client.ts");
const GONE = "vsock: the machine is gone";

/** A device of real sockets whose machine has ended; it had one connection on its way. */
async function ended(how: "dispose" | "power-off") {
  const vsock = new VsockDevice();
  if (how === "power-off") {
    const { machine: m } = await machine(
      { boot: "(call $proc_exit (i32.const 0))" },
      { devices: [vsock] },
    );
    m.boot();
    expect(await m.exited).toMatchObject({ kind: "power-off" });
  } else {
    const { machine: m } = await machine({}, { devices: [vsock] });
    m.boot();
    m.dispose();
  }
  return vsock;
}

describe.each(["dispose", "power-off"] as const)("after the end of the machine by %s", (how) => {
  test("probe rejects", async () => {
    await expect((await ended(how)).probe(80)).rejects.toThrow(GONE);
  });

  test("publish rejects, and leaves no port bound", async () => {
    const vsock = await ended(how);
    const free = net.createServer();
    await new Promise<void>((resolve) => free.listen(0, "127.0.0.1", resolve));
    const { port } = free.address() as net.AddressInfo;
    await new Promise((resolve) => free.close(resolve));
    await expect(vsock.publish({ port, guestPort: 80 })).rejects.toThrow(GONE);
    await expect(
      new Promise((resolve, reject) => {
        net.connect({ port, host: "127.0.0.1" }, () => resolve("connected")).on("error", reject);
      }),
    ).rejects.toMatchObject({ code: "ECONNREFUSED" });
  });

  test("publishPath rejects", async () => {
    await expect((await ended(how)).publishPath(join(folder, how))).rejects.toThrow(GONE);
  });

  test("drain resolves every time it is called", async () => {
    const vsock = await ended(how);
    await vsock.drain();
    await Promise.all([vsock.drain(), vsock.drain()]);
  });
});

test("releases an address that was being bound when the machine ended, and rejects the promise", async () => {
  const puppet = await bootPublished();
  const published = puppet.device.publish({ port: 4001, guestPort: 80 });
  puppet.device.dispose();
  await expect(published).rejects.toThrow(GONE);
  expect(puppet.network.closedListeners).toBe(2);
});

test("closes a client that had been accepted when the machine ended", async () => {
  const puppet = await bootPublished();
  puppet.device.dispose();
  expect(puppet.network.client().calls).toEqual(["close"]);
  expect(puppet.device.stats).toMatchObject({ connections: 0, refused: 1 });
});

test("rejects old and new probes when the machine ends", async () => {
  const puppet = await bootPublished();
  const probes = [81, 82, 83].map((port) => puppet.device.probe(port));
  const [request] = puppet.take() as [Packet];
  puppet.send({ op: VsockOp.RST, hostPort: request.hostPort, guestPort: 81 });
  puppet.device.dispose();
  for (const probe of probes) await expect(probe).rejects.toThrow(GONE);
});

test("a device outside a machine rejects probes and drains at once", async () => {
  const vsock = new VsockDevice();
  await expect(vsock.probe(80)).rejects.toThrow("not in a machine");
  await vsock.drain();
});

test("refuses guests of the switch after its machine has ended", async () => {
  const network = new VsockSwitch();
  const other = new VsockDevice({ cid: 4, switch: network });
  const halves = await BothHalves.boot(image, { vsock: { switch: network } });
  other.dispose();
  const socket = halves.call("SysSocket", 1);
  const connected = halves.start("connect", socket, 4, 80);
  halves.settle();
  expect(connected()).toBeLessThan(0);
  halves.dispose();
});

describe("duplicate devices", () => {
  test("rejects the second machine that is given the same device", async () => {
    const vsock = new VsockDevice();
    const { machine: first } = await machine({}, { devices: [vsock] });
    await expect(machine({}, { devices: [vsock] })).rejects.toThrow(/vsock: .* already/);
    first.boot();
    first.dispose();
    await expect(machine({}, { devices: [vsock] })).rejects.toThrow(/vsock: .* already/);
  });

  test("rejects a machine that lists a device twice", async () => {
    const vsock = new VsockDevice();
    await expect(machine({}, { devices: [vsock, vsock] })).rejects.toThrow(/vsock/);
  });

  test("rejects two vsock devices with the same CID, and accepts different ones", async () => {
    const devices = (...cids: number[]) => cids.map((cid) => new VsockDevice({ cid }));
    await expect(machine({}, { devices: devices(3, 4, 3) })).rejects.toThrow(
      "vsock: CID 3 is taken",
    );
    const { machine: m } = await machine({}, { devices: devices(3, 4) });
    m.dispose();
  });

  test("rejects two file systems with the same tag", async () => {
    const share = (tag: string) => new FsDevice({ directory: folder, tag, readOnly: true });
    await expect(machine({}, { devices: [share("a"), share("a")] })).rejects.toThrow(
      "tag a is taken",
    );
    const { machine: m } = await machine({}, { devices: [share("a"), share("b")] });
    m.dispose();
  });

  test("allows machines of one process the same CID: each is a host of its own", async () => {
    const pair = await Promise.all(
      [0, 1].map(() => machine({}, { devices: [new VsockDevice({ cid: 7 })] })),
    );
    for (const { machine: m } of pair) m.dispose();
  });
});
