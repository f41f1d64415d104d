// Linux as a peer of a guest with nc: in a network namespace of its own, joined by a tap.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { expect } from "vitest";
import type { Network } from "../../host/devices/net/network.ts";
import { type FrameCapture, Machine, NetDevice, StreamNetwork } from "../../host/index.ts";
import { makeFolder, until } from "./appliance.ts";
import { card } from "./frames.ts";
import { LossyNetwork } from "./lossy-network.ts";

/** Linux at 10.9.0.2, with a tap to the guest; runs the lines that it is given, one by one. */
const LINUX = `
"$1" "$2" tap0 &
until ip link show tap0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add 10.9.0.2/24 dev tap0 && ip link set tap0 mtu "$3" up
sysctl -q -w net.ipv4.tcp_congestion_control=reno 2>/dev/null
echo up
while read -r line; do eval "$line"; echo "done $?"; done
`;

export interface Peers {
  net: NetDevice;
  network: StreamNetwork;
  link: Network;
  /** Runs a line of the shell in Linux. Resolves with its output. */
  run(line: string): Promise<string>;
  /** Listens in Linux, and resolves with the hash of what comes, once `sender` has ended. */
  receive(sender: () => Promise<string>): Promise<string>;
  /** Boots nc with kernel parameters. Resolves with what it says in the end. */
  nc(parameters: string): { started: Promise<void>; ended: Promise<string> };
}

export interface LinuxOptions {
  mtu?: number;
  /** Of 1, how many frames of both directions are lost. */
  loss?: number;
  seed?: number;
  /** Sees what the guest's card does. */
  capture?: FrameCapture;
}

/** Runs `body` with Linux and a guest on one link, and puts both away. */
export async function withLinux(
  { mtu = 1500, loss = 0, seed = 1, capture }: LinuxOptions,
  body: (peers: Peers) => Promise<void>,
): Promise<void> {
  const folder = makeFolder();
  const tap = join(folder, "tap");
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-o", tap, "test/support/tap.c"]);
  const path = join(folder, "net");
  const network = await StreamNetwork.open({ address: { path }, listen: true });
  const link = loss === 0 ? network : new LossyNetwork(network, loss, seed);
  const seen = capture === undefined ? {} : { capture };
  const net = new NetDevice({ network: link, mac: card(1), mtu, ...seen });
  const linux = spawn(
    "unshare",
    ["--map-root-user", "--net", "sh", "-c", LINUX, "sh", tap, path, `${mtu}`],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  const machines: Machine[] = [];
  const say = converse(linux);
  try {
    await say.saw("up\n");
    await until(() => net.hasLink);
    await body({
      net,
      network,
      link,
      run: (line) => say.run(line),
      async receive(sender) {
        const sink = "nc -l -p 5001 -N </dev/null >received & ";
        await say.run(`cd ${folder}; ${sink} until ss -ltn | grep -q :5001; do sleep 0.02; done`);
        await sender();
        return (await say.run("wait $!; sha256sum <received")).slice(0, 32);
      },
      nc: (parameters) => boot(net, parameters, machines),
    });
  } finally {
    for (const machine of machines) machine.dispose();
    linux.stdin?.end();
    network.close(); // which ends the tap
  }
  await until(() => linux.exitCode !== null);
}

function converse(linux: ChildProcess) {
  let output = "";
  linux.stdout?.on("data", (text) => {
    output += text;
  });
  const saw = (text: string) => until(() => output.includes(text));
  return {
    saw,
    async run(line: string): Promise<string> {
      output = "";
      linux.stdin?.write(`${line}\n`);
      await until(() => /done \d+\n$/.test(output));
      return output;
    },
  };
}

function boot(net: NetDevice, parameters: string, machines: Machine[]) {
  let said = "";
  const machine = Machine.create({
    image: new URL("../../build/nc.wasm", import.meta.url),
    memoryBytes: 128 * 1024 * 1024,
    devices: [net],
    parameters: `net=inet net.address=10.9.0.1/24 hash=1 ${parameters}`,
    console: (line) => {
      said += line;
    },
  });
  const ended = machine.then(async (one) => {
    machines.push(one);
    one.boot();
    const exit = await one.exited;
    expect(exit, said).toEqual({ kind: "power-off", code: 0 });
    return said;
  });
  return { started: until(() => said.includes("listening")), ended };
}

/** As nc prints it. */
export const hashOf = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex").slice(0, 32);

/** `bytes` bytes as nc sends them: a pattern of 256 bytes, from the start of each 64 KiB. */
export const sentBytes = (bytes: number): Buffer =>
  Buffer.alloc(bytes, Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 31) & 255)));
