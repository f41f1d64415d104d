// TCP of the guest: handshakes, states and ends, by packet scripts (RFC 9293, 3.10.7).
import { describe, expect, test } from "vitest";
import { Errno } from "../../../abi/errno.ts";
import { AF_INET, pattern, SOCK_STREAM, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();

describe("TC20: a connection that the peer asks for", () => {
  test("is accepted, carries bytes both ways, and ends by the peer's FIN first", async () => {
    const g = await make();
    const { socket } = g.serve();
    g.script("in AP seq=1 ack=1 bytes=100");
    expect(g.recv(socket)).toEqual(pattern(1, 100));
    expect(g.send(socket, 1, 300).result()).toBe(300);
    g.script(`
      out A seq=1 ack=101
      out AP seq=1 ack=101 bytes=300
      in  A seq=101 ack=301
      in  FA seq=101 ack=301
      out A seq=301 ack=102
    `);
    expect(g.recv(socket)).toEqual(Buffer.alloc(0));
    expect(g.start("close", socket).result()).toBe(0);
    g.script(`
      out FA seq=301 ack=102
      in  A seq=102 ack=302
      none
    `);
    expect(g.call("liveSockets")).toBe(1);
  });
});
