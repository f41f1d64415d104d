// What is asked of a device whose machine has ended, or of one that is in none: every promise is
// settled. And devices that a guest could not tell apart.
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

  test("drain resolves, however often", async () => {
    const vsock = await ended(how);
    await vsock.drain();
    await Promise.all([vsock.drain(), vsock.drain()]);
  });
});

test("an address that was being bound when the machine ended is given back, and the promise rejects", async () => {
  const puppet = await bootPublished();
  const published = puppet.device.publish({ port: 4001, guestPort: 80 });
  puppet.device.dispose();
  await expect(published).rejects.toThrow(GONE);
  expect(puppet.network.closedListeners).toBe(2);
});

test("a client that had been accepted when the machine ended is closed", async () => {
  const puppet = await bootPublished();
  puppet.device.dispose();
  expect(puppet.network.client().calls).toEqual(["close"]);
  expect(puppet.device.stats).toMatchObject({ connections: 0, refused: 1 });
});

test("probes of every age reject when the machine ends", async () => {
  const puppet = await bootPublished();
  const probes = [81, 82, 83].map((port) => puppet.device.probe(port));
  const [request] = puppet.take() as [Packet];
  puppet.send({ op: VsockOp.RST, hostPort: request.hostPort, guestPort: 81 });
  puppet.device.dispose();
  for (const probe of probes) await expect(probe).rejects.toThrow(GONE);
});

test("a device that is in no machine has nobody to probe, says so, and drains at once", async () => {
  const vsock = new VsockDevice();
  await expect(vsock.probe(80)).rejects.toThrow("not in a machine");
  await vsock.drain();
});

test("a peer whose machine has ended refuses guests of its switch", async () => {
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

describe("devices that are the same", () => {
  test("one in two machines is an error of the second", async () => {
    const vsock = new VsockDevice();
    const { machine: first } = await machine({}, { devices: [vsock] });
    await expect(machine({}, { devices: [vsock] })).rejects.toThrow(/vsock: .* already/);
    first.boot();
    first.dispose();
    await expect(machine({}, { devices: [vsock] })).rejects.toThrow(/vsock: .* already/);
  });

  test("one twice in a machine, too", async () => {
    const vsock = new VsockDevice();
    await expect(machine({}, { devices: [vsock, vsock] })).rejects.toThrow(/vsock/);
  });

  test("two of one CID in a machine are an error, and two of different ones are not", async () => {
    const devices = (...cids: number[]) => cids.map((cid) => new VsockDevice({ cid }));
    await expect(machine({}, { devices: devices(3, 4, 3) })).rejects.toThrow(
      "vsock: CID 3 is taken",
    );
    const { machine: m } = await machine({}, { devices: devices(3, 4) });
    m.dispose();
  });

  test("so are two file systems of one tag", async () => {
    const share = (tag: string) => new FsDevice({ directory: folder, tag, readOnly: true });
    await expect(machine({}, { devices: [share("a"), share("a")] })).rejects.toThrow(
      "tag a is taken",
    );
    const { machine: m } = await machine({}, { devices: [share("a"), share("b")] });
    m.dispose();
  });

  test("machines of one process may use the same CID: each is a host of its own", async () => {
    const pair = await Promise.all(
      [0, 1].map(() => machine({}, { devices: [new VsockDevice({ cid: 7 })] })),
    );
    for (const { machine: m } of pair) m.dispose();
  });
});
