// A lease that brings another MTU, and the connections of its address.
import { expect, test } from "vitest";
import { ACK, answer, asked, lease, type Options } from "../../support/dhcp.ts";
import { ip } from "../../support/frames.ts";
import { type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();

const OWN = "10.0.0.1";
const withMtu = (mtu: number): Options => [
  [3, ip("10.0.0.2")],
  [26, Buffer.from([mtu >> 8, mtu & 255])],
];
const lengths = (g: TcpGuest) => g.segments().map((one) => one.payload.length);

async function leased(mtu: number) {
  const g = await make({ parameters: "" });
  lease(g, withMtu(mtu), OWN);
  g.meet();
  return g;
}

/** The link comes back, and the lease is confirmed with another MTU. */
function confirm(g: TcpGuest, mtu: number): void {
  for (const status of [0, 1]) {
    g.device.setStatus(status);
    g.settle();
  }
  const xid = asked(g).at(-1)?.xid as number;
  g.inject(answer({ type: ACK, xid, address: OWN, extra: withMtu(mtu), broadcast: true }));
  g.meet();
}

test("TC13: segments of an established connection follow the MTU of a new lease, down and up", async () => {
  const g = await leased(1500);
  const { socket } = g.serve("mss=1460");
  g.send(socket, 1, 3000);
  expect(lengths(g)).toEqual([1460, 1460]);
  g.script("in A seq=1 ack=2921");
  expect(lengths(g)).toEqual([80]);
  g.script("in A seq=1 ack=3001");

  confirm(g, 1300);
  g.send(socket, 3001, 2520);
  expect(lengths(g)).toEqual([1260, 1260]);
  g.script("in A seq=1 ack=5521");

  confirm(g, 1500);
  g.send(socket, 5521, 2920);
  expect(lengths(g)).toEqual([1460, 1460]);
});

test("TC13: segments in flight are cut anew, and a new connection says the new size", async () => {
  const g = await leased(1500);
  const { socket, listener } = g.serve("mss=1460");
  g.send(socket, 1, 2920);
  expect(lengths(g)).toEqual([1460, 1460]);
  confirm(g, 1300); // the link's return has sent it again, but before the answer
  g.segments();
  g.script(`
    +1000
    out A seq=1 bytes=1260
    in  A seq=1 ack=1261
    out A seq=1261 bytes=1260
    out AP seq=2521 bytes=400
    none
    in  A seq=1 ack=2921
  `);
  g.start("close", socket);
  g.start("close", listener);
  g.segments();

  g.localPort = 81;
  g.peerPort = 41000;
  g.listen();
  g.script(`
    in  S seq=0 mss=1460
    out SA seq=0 ack=1 mss=1260
  `);
});
