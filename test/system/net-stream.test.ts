// Machines whose networks are byte streams: two of them, and Linux at the other end of a tap.
import { execFileSync, spawn } from "node:child_process";
import { join } from "node:path";
import { afterAll, afterEach, describe, expect, test } from "vitest";
import { Machine, NetDevice, StreamNetwork } from "../../host/index.ts";
import type { SocketAddress } from "../../host/ports/sockets.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { card, ipNumber } from "../support/frames.ts";
import { compileGuest } from "../support/guest.ts";
import { linuxWitness } from "../support/outside-program.ts";

const image = await compileGuest("test/guest/internet.ts");
const machines: Machine[] = [];

afterEach(() => {
  for (const machine of machines.splice(0)) machine.dispose();
});
afterAll(removeFolders);

/** A machine on the system's clock, at 10.9.0.n. */
async function boot(network: StreamNetwork, n: number, mtu = 1500) {
  const net = new NetDevice({ network, mac: card(n), mtu });
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 32 * 1024 * 1024,
    devices: [net],
    parameters: `net.address=10.9.0.${n}/24`,
  });
  machines.push(machine);
  machine.boot();
  return { machine, net };
}

/** Resolves with the result of a SysPing. */
async function ping(machine: Machine, to: string, bytes: number): Promise<number> {
  const at = Number(machine.call("startPing", ipNumber(to) | 0, bytes, 30_000)) >>> 0;
  const { view } = machine.memory;
  await until(() => view.getUint32(at, true) !== 0);
  return Number(view.getBigInt64(at + 8, true));
}

describe("two machines on a stream", () => {
  test.each([
    ["AF_UNIX", (): SocketAddress => ({ path: join(makeFolder(), "net") })],
    ["TCP", (): SocketAddress => ({ host: "127.0.0.1", port: 0 })],
  ])("of %s reach each other, with frames of all sizes", async (_, address) => {
    const here = await StreamNetwork.open({ address: address(), listen: true });
    const there = await StreamNetwork.open({ address: here.address as SocketAddress });
    const [a, b] = [await boot(here, 1, 65520), await boot(there, 2, 65520)];
    await until(() => a.net.hasLink);
    for (const bytes of [0, 56, 1472, 9000, 65492]) {
      expect(await ping(a.machine, "10.9.0.2", bytes)).toBeGreaterThanOrEqual(0);
      expect(await ping(b.machine, "10.9.0.1", bytes)).toBeGreaterThanOrEqual(0);
    }
    b.machine.dispose();
    await until(() => !a.net.hasLink);
    expect(here.isConnected).toBe(false);
  });
});

/** Linux at 10.9.0.2, with a tap to whoever listens at `path`; it goes on until its input ends. */
const LINUX = `
"$1" "$2" tap0 &
until ip link show tap0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add 10.9.0.2/24 dev tap0 && ip link set tap0 up
echo up
while read -r bytes; do ping -c 3 -i 0.2 -W 20 -s "$bytes" 10.9.0.1; echo done; done
`;

linuxWitness("echoes go both ways between a guest and Linux, with data of all sizes", async () => {
  const folder = makeFolder();
  const tap = join(folder, "tap");
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-o", tap, "test/support/tap.c"]);
  const path = join(folder, "net");
  const network = await StreamNetwork.open({ address: { path }, listen: true });
  const { machine, net } = await boot(network, 1);
  const words = ["--map-root-user", "--net", "sh", "-c", LINUX, "sh", tap, path];
  const linux = spawn("unshare", words, { stdio: ["pipe", "pipe", "inherit"] });
  let output = "";
  linux.stdout.on("data", (text) => {
    output += text;
  });
  try {
    await until(() => net.hasLink && output.includes("up\n"));
    for (const bytes of [0, 1, 56, 1471, 1472]) {
      output = "";
      linux.stdin.write(`${bytes}\n`);
      await until(() => output.includes("done\n"));
      expect(output).toContain("3 packets transmitted, 3 received, 0% packet loss");
      expect(output).not.toContain("wrong data byte");
      expect(await ping(machine, "10.9.0.2", bytes), `${bytes} bytes`).toBeGreaterThanOrEqual(0);
    }
    expect(net.stats).toMatchObject({ rejected: 0, dropped: { tooLong: 0, noFit: 0 } });
  } finally {
    linux.stdin.end();
    network.close(); // which ends the tap
  }
  await until(() => linux.exitCode !== null);
});
