// The guest's DHCP client and servers that others have written: dnsmasq and udhcpd of Busybox on
// Linux, which a tap joins to the guest, and passt.
import { execFileSync, spawn } from "node:child_process";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, afterEach, expect } from "vitest";
import { Machine, NetDevice, StreamNetwork } from "../../host/index.ts";
import { makeFolder, removeFolders, until } from "../support/appliance.ts";
import { card, ipNumber } from "../support/frames.ts";
import { compileGuest } from "../support/guest.ts";
import { linuxWitness } from "../support/outside-program.ts";

const image = await compileGuest("test/guest/internet.ts");
const endings: (() => void)[] = [];

afterEach(() => {
  for (const end of endings.splice(0).reverse()) end();
});
afterAll(removeFolders);

/** A machine without a static address, and its console. */
async function boot(network: StreamNetwork, mtu: number) {
  const net = new NetDevice({ network, mac: card(1), mtu });
  let console = "";
  const machine = await Machine.create({
    image: image.module,
    sourceMap: image.map,
    memoryBytes: 32 * 1024 * 1024,
    devices: [net],
    console: (text) => {
      console += text;
    },
  });
  endings.push(() => machine.dispose());
  machine.boot();
  const number = (name: string, ...args: number[]) => Number(machine.call(name, ...args)) >>> 0;
  return {
    machine,
    net,
    number,
    said: () => console,
    lease: () => ({
      address: number("ownAddress"),
      gateway: number("gateway"),
      mtu: number("localMtu"),
      names: [number("nameServer", 0), number("nameServer", 1)],
    }),
  };
}

/** Linux in a namespace of its own: `script` with its words, until its input ends. */
function linux(script: string, ...words: string[]) {
  const args = ["--map-root-user", "--net", "sh", "-c", script, "sh", ...words];
  const child = spawn("unshare", args, { stdio: ["pipe", "pipe", "pipe"] });
  const said = { text: "" };
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (text) => {
      said.text += text;
    });
  }
  endings.push(() => child.stdin.end());
  return { child, said };
}

/** Linux at 10.9.0.2, with a tap to whoever listens at `$2`, and a server. */
const withServer = (server: string): string => `
"$1" "$2" tap0 &
until ip link show tap0 >/dev/null 2>&1; do sleep 0.05; done
ip addr add 10.9.0.2/24 dev tap0 && ip link set tap0 up
${server} &
server=$!
cat >/dev/null
kill $server
`;

/** A guest at one end of a tap, and a server on Linux at the other. */
async function meet(server: string, folder: string, config = "") {
  const [tap, path] = [join(folder, "tap"), join(folder, "net")];
  execFileSync("cc", ["-O1", "-Wall", "-Werror", "-o", tap, "test/support/tap.c"]);
  writeFileSync(join(folder, "config"), config);
  const network = await StreamNetwork.open({ address: { path }, listen: true });
  endings.push(() => network.close()); // which ends the tap
  const there = linux(withServer(server), tap, path, folder);
  return { ...(await boot(network, 1500)), there };
}

const ADDRESSES = [50, 51, 52, 53, 54].map((n) => ipNumber(`10.9.0.${n}`));

linuxWitness(
  "dnsmasq gives the guest an address, a gateway, name servers and an MTU",
  async () => {
    const folder = makeFolder();
    const words = [
      "dnsmasq --no-daemon --user=root --conf-file=/dev/null --pid-file= --port=0 --no-ping",
      "--interface=tap0 --bind-interfaces --dhcp-range=10.9.0.50,10.9.0.54,255.255.255.0,2m",
      "--dhcp-authoritative --dhcp-option=6,10.9.0.7,10.9.0.8 --dhcp-option=26,1400",
      '--log-dhcp --dhcp-leasefile="$3/leases"',
    ];
    const g = await meet(words.join(" "), folder);
    await until(() => g.number("ownAddress") !== 0);
    const { address, ...rest } = g.lease();
    expect(ADDRESSES).toContain(address);
    const names = [ipNumber("10.9.0.7"), ipNumber("10.9.0.8")];
    expect(rest).toEqual({ gateway: ipNumber("10.9.0.2"), mtu: 1400, names });
    expect(g.said()).toMatch(/^net: 10\.9\.0\.5\d\/24 by DHCP, gateway 10\.9\.0\.2$/m);
    expect(Number(g.machine.call("timerInMs")) / 1000).toBeGreaterThan(30); // T1
    // The link comes back: the server prolongs the lease.
    const acknowledged = () => g.there.said.text.match(/DHCPACK\(tap0\)/g)?.length ?? 0;
    await until(() => acknowledged() === 1);
    g.net.hasLink = false;
    await until(() => g.number("hasLink") === 0);
    g.net.hasLink = true;
    await until(() => acknowledged() === 2);
    expect(g.lease().address).toBe(address);
  },
  "dnsmasq",
);

linuxWitness(
  "udhcpd gives the guest an address, and renews it",
  async () => {
    const folder = makeFolder();
    const config = [
      "start 10.9.0.50",
      "end 10.9.0.54",
      "interface tap0",
      `lease_file ${folder}/leases`,
      `pidfile ${folder}/pid`,
      "min_lease 2",
      "opt lease 4",
      "opt subnet 255.255.255.0",
      "opt router 10.9.0.2",
      "",
    ];
    writeFileSync(join(folder, "leases"), "");
    const g = await meet('busybox udhcpd -f "$3/config"', folder, config.join("\n"));
    await until(() => g.number("ownAddress") !== 0);
    const { address, ...rest } = g.lease();
    expect(ADDRESSES).toContain(address);
    expect(rest).toEqual({ gateway: ipNumber("10.9.0.2"), mtu: 1500, names: [0, 0] });
    const given = () => g.there.said.text.match(/sending ACK to 10\.9\.0\.5\d/g)?.length ?? 0;
    await until(() => given() >= 3); // at T1, after two seconds, each time
    expect(g.lease().address).toBe(address);
    expect(g.said().match(/by DHCP/g)).toHaveLength(1);
    expect(g.said()).not.toContain("ended");
  },
  "busybox",
);

/** A network without an end, which passt takes for the host's, and passt at `$1`. */
const PASST = `
ip link set lo up
ip link add up0 type veth peer name up1 && ip link set up1 up
ip addr add 198.51.100.2/24 dev up0 && ip link set up0 up
ip route add default via 198.51.100.1
passt -f -1 -4 -t none -u none -s "$1" &
passt=$!
cat >/dev/null
kill $passt
`;

linuxWitness(
  "passt gives the guest its own address, and an MTU of 65,520",
  async () => {
    const path = join(makeFolder(), "net");
    linux(PASST, path);
    await until(() => existsSync(path));
    const network = await StreamNetwork.open({ address: { path } });
    endings.push(() => network.close());
    const g = await boot(network, 65_520);
    await until(() => g.number("ownAddress") !== 0);
    const { address, gateway, mtu } = g.lease();
    expect([address, gateway]).toEqual([ipNumber("198.51.100.2"), ipNumber("198.51.100.1")]);
    expect(mtu).toBe(65_520);
    expect(g.said()).toContain("net: 198.51.100.2/24 by DHCP, gateway 198.51.100.1\n");
  },
  "passt",
);
