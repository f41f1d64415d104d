// A lease that ends, and the connections of its address.
import { expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { answer, asked, GIVEN, held, lease, NAK, SERVER } from "../../support/dhcp.ts";
import { card, ipNumber, whoHas } from "../../support/frames.ts";
import { type NetGuest, netGuests } from "../../support/net-guest.ts";

const make = await netGuests("test/guest/udp-sockets.ts");

const SOCK_STREAM = 1;
const [RECV, CONNECT] = [2, 3];

test("TC13: a connection ends with -ENETDOWN when its address is taken away; a listener stays", async () => {
  const g = await make({ parameters: "" });
  lease(g);
  const start = (op: number, socket: number, ...words: number[]) => {
    const at = g.call("start", op, socket, ...words) >>> 0;
    g.advance(10); // the loopback and delayed acknowledgements
    const { view } = g.machine.memory;
    return () => (view.getUint32(at, true) === 0 ? undefined : view.getInt32(at + 4, true));
  };
  const listener = g.call("openSocket", SOCK_STREAM);
  expect(g.call("SysSocketBind", listener, 80)).toBe(0);
  expect(g.call("SysSocketListen", listener, 4)).toBe(0);
  const connect = (socket: number) => start(CONNECT, socket, 0, 0, ipNumber(GIVEN) | 0, 80, 0);
  const near = g.call("openSocket", SOCK_STREAM);
  expect(connect(near)()).toBe(0);
  const buffer = g.call("ToroGetMem", 64);
  const waiting = start(RECV, near, buffer, 64, 0, 0, 0);
  expect(waiting()).toBeUndefined();

  for (const status of [0, 1]) {
    g.device.setStatus(status);
    g.settle();
  }
  g.inject(answer({ type: NAK, xid: asked(g)[0]?.xid as number, broadcast: true }));
  expect([waiting(), held(g).address]).toEqual([-Errno.ENETDOWN, "0.0.0.0"]);
  expect(g.call("SysSocketClose", near)).toBe(0);

  g.advance(1000);
  lease(g);
  const again = g.call("openSocket", SOCK_STREAM);
  expect(connect(again)()).toBe(0);
  expect(g.faults()).toBe(0);
});

/** Calls that run in threads, and what they have returned. */
function starting(g: NetGuest) {
  return (op: number, socket: number, ...words: number[]) => {
    const at = g.call("start", op, socket, ...words) >>> 0;
    const { view } = g.machine.memory;
    return () => (view.getUint32(at, true) === 0 ? undefined : view.getInt32(at + 4, true));
  };
}

const SO_CONNECT_TIMEOUT = 6;
/** Segments of TCP that the guest has sent in all. */
const segments = (g: NetGuest) => g.device.sent.filter(({ frame }) => frame[23] === 6).length;

test("TC60: a connect that waits for an address sends its SYN as soon as there is one", async () => {
  const g = await make({ parameters: "" });
  const socket = g.call("openSocket", SOCK_STREAM);
  const call = starting(g)(CONNECT, socket, 0, 0, ipNumber(SERVER) | 0, 80, 0);
  g.advance(3500); // its timer has tried twice, in vain
  expect([call(), segments(g)]).toEqual([undefined, 0]);
  lease(g);
  g.inject(whoHas(GIVEN, SERVER, card(2)));
  expect(segments(g)).toBe(1);
  g.advance(999);
  expect(segments(g)).toBe(1);
  g.advance(1);
  expect(segments(g), "the time-out begins anew").toBe(2);
});

test("TC60: without an address until its time-out, or without hope for one, it fails", async () => {
  const g = await make({ parameters: "" });
  const socket = g.call("openSocket", SOCK_STREAM);
  g.call("SysSocketSetOption", socket, SO_CONNECT_TIMEOUT, 2500);
  const call = starting(g)(CONNECT, socket, 0, 0, ipNumber(SERVER) | 0, 80, 0);
  g.advance(2499);
  expect(call()).toBeUndefined();
  g.advance(1);
  expect(call()).toBe(-Errno.EADDRNOTAVAIL);

  const hopeless = await make({ parameters: "net.address=nonsense" });
  const lost = hopeless.call("openSocket", SOCK_STREAM);
  const failed = starting(hopeless)(CONNECT, lost, 0, 0, ipNumber(SERVER) | 0, 80, 0);
  expect(failed()).toBe(-Errno.EADDRNOTAVAIL);
});
