// The guest's TCP against Linux's, through a tap in a network namespace of the test's own.
import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import type { Network } from "../../host/devices/net/network.ts";
import { Machine, NetDevice, StreamNetwork } from "../../host/index.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { card } from "../support/frames.ts";
import { LossyNetwork } from "../support/lossy-network.ts";
import { linuxWitness } from "../support/outside-program.ts";

afterAll(removeFolders);

/** Linux at 10.9.0.2, with a tap to the guest; runs the lines that it is given, one by one. */
const LINUX = `
"$1" "$2" tap0 &
until ip link show tap0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add 10.9.0.2/24 dev tap0 && ip link set tap0 mtu "$3" up
sysctl -q -w net.ipv4.tcp_congestion_control=reno 2>/dev/null
echo up
while read -r line; do eval "$line"; echo "done $?"; done
`;

interface Peers {
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

async function withLinux(
  { mtu = 1500, loss = 0 },
  body: (peers: Peers) => Promise<void>,
): Promise<void> {
  const folder = makeFolder();
  const tap = join(folder, "tap");
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-o", tap, "test/support/tap.c"]);
  const path = join(folder, "net");
  const network = await StreamNetwork.open({ address: { path }, listen: true });
  const link = loss === 0 ? network : new LossyNetwork(network, loss);
  const net = new NetDevice({ network: link, mac: card(1), mtu });
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

const BYTES = 20 * 1024 * 1024;
const hashOf = (bytes: Uint8Array): string =>
  createHash("sha256").update(bytes).digest("hex").slice(0, 32);
/** The bytes of nc: a pattern of 256 bytes, from the start of each buffer of 64 KiB. */
const SENT = Buffer.alloc(
  BYTES,
  Buffer.from(Array.from({ length: 256 }, (_, i) => (i * 31) & 255)),
);

for (const mtu of [1500, 9000, 65520]) {
  linuxWitness(`20 MiB from Linux arrive whole, MTU ${mtu}`, async () => {
    await withLinux({ mtu }, async ({ run, nc }) => {
      const guest = nc("port=5001");
      await guest.started;
      const done = await run(`head -c ${BYTES} /dev/zero | nc -N 10.9.0.1 5001`);
      expect(done).toContain("done 0");
      expect(await guest.ended).toContain(`${BYTES} bytes received`);
      expect(await guest.ended).toContain(`SHA-256 ${hashOf(Buffer.alloc(BYTES))}`);
    });
  });

  linuxWitness(`20 MiB to Linux arrive whole, MTU ${mtu}`, async () => {
    await withLinux({ mtu }, async ({ receive, nc }) => {
      const received = await receive(() => nc(`to=10.9.0.2 bytes=${BYTES}`).ended);
      expect(received).toBe(hashOf(SENT));
    });
  });
}

const SWITCHES = ["timestamps", "window_scaling", "sack"];
for (let bits = 0; bits < 8; bits++) {
  const settings = SWITCHES.map((name, i) => [name, (bits >> i) & 1] as const);
  const title = settings.map(([name, on]) => `${name} ${on === 1 ? "on" : "off"}`).join(", ");
  linuxWitness(`both directions with ${title}`, async () => {
    await withLinux({ loss: 0.002 }, async ({ run, nc }) => {
      for (const [name, on] of settings) await run(`sysctl -q -w net.ipv4.tcp_${name}=${on}`);
      const guest = nc("port=5001");
      await guest.started;
      await run("head -c 2000000 /dev/zero | nc -N 10.9.0.1 5001");
      expect(await guest.ended).toContain(`SHA-256 ${hashOf(Buffer.alloc(2_000_000))}`);
    });
    await withLinux({ loss: 0.002 }, async ({ run, receive, nc }) => {
      for (const [name, on] of settings) await run(`sysctl -q -w net.ipv4.tcp_${name}=${on}`);
      const received = await receive(() => nc("to=10.9.0.2 bytes=2000000").ended);
      expect(received).toBe(hashOf(SENT.subarray(0, 2_000_000)));
    });
  });
}

for (const loss of [0.001, 0.01, 0.05]) {
  linuxWitness(`${loss * 100} % of all frames lost: both directions arrive whole`, async () => {
    const bytes = loss > 0.02 ? 500_000 : 4_000_000;
    await withLinux({ loss }, async ({ run, nc }) => {
      const guest = nc("port=5001");
      await guest.started;
      await run(`head -c ${bytes} /dev/zero | nc -N 10.9.0.1 5001`);
      expect(await guest.ended).toContain(`SHA-256 ${hashOf(Buffer.alloc(bytes))}`);
    });
    await withLinux({ loss }, async ({ receive, nc }) => {
      const received = await receive(() => nc(`to=10.9.0.2 bytes=${bytes}`).ended);
      expect(received).toBe(hashOf(SENT.subarray(0, bytes)));
    });
  });
}

linuxWitness("64 connections at once arrive whole", async () => {
  await withLinux({}, async ({ run, nc }) => {
    const guest = nc("port=5001 count=64");
    await guest.started;
    const line = "head -c 100000 /dev/zero | nc -N 10.9.0.1 5001";
    const done = await run(`for i in $(seq 64); do (${line}) & jobs="$jobs $!"; done; wait $jobs`);
    expect(done).toContain("done 0");
    const said = await guest.ended;
    const each = `100000 bytes received`;
    expect(said.split(each)).toHaveLength(65);
    expect(said.split(hashOf(Buffer.alloc(100_000)))).toHaveLength(65);
  });
});

linuxWitness(
  "a port that nobody listens on refuses; one of Linux's refuses the guest",
  async () => {
    await withLinux({}, async ({ run, nc }) => {
      const guest = nc("port=5001");
      await guest.started;
      expect(await run("nc -w 5 10.9.0.1 5002 </dev/null")).toContain("done 1");
      await run("printf x | nc -N 10.9.0.1 5001");
      await guest.ended;
    });
  },
);
