// The guest's TCP against Linux's, through a tap in a network namespace of the test's own.
import { afterAll, expect } from "vitest";
import { removeFolders } from "../support/appliance.ts";
import { hashOf, sentBytes, withLinux } from "../support/linux-peer.ts";
import { linuxWitness } from "../support/outside-program.ts";

afterAll(removeFolders);

const BYTES = 20 * 1024 * 1024;

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
      expect(received).toBe(hashOf(sentBytes(BYTES)));
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
      expect(received).toBe(hashOf(sentBytes(2_000_000)));
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
      expect(received).toBe(hashOf(sentBytes(bytes)));
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
