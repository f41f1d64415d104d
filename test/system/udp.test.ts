// UDP of the guest and of Linux, which a tap joins: datagrams of all sizes, and ports that nobody
// has.
import { execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, expect } from "vitest";
import { Machine, NetDevice, StreamNetwork } from "../../host/index.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { card, ipNumber } from "../support/frames.ts";
import { compileGuest } from "../support/guest.ts";
import { linuxWitness } from "../support/outside-program.ts";

const image = await compileGuest("test/guest/internet.ts");

afterAll(removeFolders);

/** Sends datagrams to the guest's port 7, and says which came back as they were; then to port 9. */
const CLIENT = `
import { createSocket } from "node:dgram";
import { once } from "node:events";

const socket = createSocket("udp4");
socket.bind(5000);
await once(socket, "listening");
for (const bytes of [0, 1, 2, 3, 7, 100, 1001, 1471, 1472]) {
  const data = Buffer.alloc(bytes, 0).map((_, i) => i * 7 + bytes);
  socket.send(data, 7, "10.9.0.1");
  const [back, from] = await once(socket, "message");
  const same = back.equals(data) && from.address === "10.9.0.1" && from.port === 7;
  console.log(same ? "same" : "other", bytes);
}
const closed = createSocket("udp4");
closed.connect(9, "10.9.0.1");
await once(closed, "connect");
closed.send("x");
const [error] = await once(closed, "error");
console.log("closed:", error.code);
await new Promise((resolve) => process.stdin.resume().once("end", resolve));
process.exit();
`;

/** Linux at 10.9.0.2, with a tap to whoever listens at `$2`, and the client. */
const LINUX = `
"$1" "$2" tap0 &
until ip link show tap0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add 10.9.0.2/24 dev tap0 && ip link set tap0 up
exec "$3" "$4"
`;

linuxWitness(
  "datagrams go both ways between a guest and Linux, and closed ports refuse",
  async () => {
    const folder = makeFolder();
    const [tap, path, client] = ["tap", "net", "client.mjs"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    execFileSync("cc", ["-O1", "-Wall", "-Werror", "-o", tap, "test/support/tap.c"]);
    writeFileSync(client, CLIENT);
    const network = await StreamNetwork.open({ address: { path }, listen: true });
    const machine = await Machine.create({
      image: image.module,
      sourceMap: image.map,
      memoryBytes: 32 * 1024 * 1024,
      devices: [new NetDevice({ network, mac: card(1) })],
      parameters: "net.address=10.9.0.1/24",
    });
    machine.boot();
    machine.call("udpEcho", 7);
    const words = ["--map-root-user", "--net", "sh", "-c", LINUX, "sh"];
    const linux = spawn("unshare", [...words, tap, path, process.execPath, client], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    let said = "";
    linux.stdout.on("data", (text) => {
      said += text;
    });
    try {
      await until(() => said.includes("closed:"));
      expect(said.match(/same/g)).toHaveLength(9);
      expect(said).toContain("closed: ECONNREFUSED\n");
      // Nobody has port 4000 of Linux.
      const port = Number(machine.call("udpOpen", 0, ipNumber("10.9.0.2") | 0, 4000));
      const own = Number(machine.call("udpPort", port));
      machine.call("udpSend", own, ipNumber("10.9.0.2") | 0, 4000, 0, 0);
      await until(() => Number(machine.call("udpRefusals", port)) === 1);
    } finally {
      linux.stdin.end();
      network.close(); // which ends the tap
      machine.dispose();
    }
    await until(() => linux.exitCode !== null);
  },
);
