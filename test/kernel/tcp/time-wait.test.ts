// TCP of the guest: TIME-WAIT.
import { describe, expect, test } from "vitest";
import { type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();

describe("TC28: TIME-WAIT", () => {
  const rest = async (options = "mss=1460") => {
    const g = await make();
    const { socket } = g.serve(options);
    g.start("close", socket);
    const ts = options.includes("ts=") ? "ts=50:0" : "";
    g.script(`
      out FA seq=1 ack=1
      in  FA seq=1 ack=2 ${ts}
      out A seq=2 ack=2
    `);
    return g;
  };

  test("lasts 60 seconds, and a FIN that comes again is answered and makes it last anew", async () => {
    const g = await rest();
    g.advance(59_000);
    g.script(`
      in  FA seq=1 ack=2
      out A seq=2 ack=2
    `);
    g.advance(59_000);
    expect(g.call("timeWaitCount")).toBe(1);
    g.advance(1_001);
    expect(g.call("timeWaitCount")).toBe(0);
    expect(g.call("isTimerRunning")).toBe(0);
  });

  test("is as long as net.time_wait_ms says", async () => {
    const g = await make({ parameters: "net.address=10.0.0.1/24 net.time_wait_ms=500" });
    const { socket } = g.serve();
    g.start("close", socket);
    g.script(`
      out FA seq=1 ack=1
      in  FA seq=1 ack=2
      out A seq=2 ack=2
    `);
    g.advance(501);
    expect(g.call("timeWaitCount")).toBe(0);
  });

  test("is not ended by RST (RFC 1337), and other segments get our numbers", async () => {
    const g = await rest();
    g.script(`
      in  R seq=2
      none
      in  A seq=2 ack=2 bytes=5
      out A seq=2 ack=2
    `);
    expect(g.call("timeWaitCount")).toBe(1);
  });

  test("does not answer a bare acknowledgement: two that wait would talk for ever", async () => {
    const g = await rest();
    g.script(`
      in  A seq=2 ack=2
      none
      in  A seq=900 ack=2
      none
    `);
  });

  test("gives way to a new SYN with a higher number, not to one with a lower", async () => {
    const g = await rest();
    g.script(`
      in  S seq=1 mss=1460
      out A seq=2 ack=2
      in  S seq=70000 mss=1460
      out SA ack=70001
    `);
    expect(g.call("timeWaitCount")).toBe(0);
  });

  test("gives way to a new SYN with a later timestamp, whatever its number (RFC 6191)", async () => {
    const g = await rest("mss=1460 ts=5:0");
    g.script(`
      in  S seq=1 mss=1460 ts=40:0
      out A seq=2 ack=2
      in  S seq=1 mss=1460 ts=51:0
      out SA ack=2
    `);
    expect(g.call("timeWaitCount")).toBe(0);
  });

  /** Connections of the ports from `first` on end, and wait. */
  const wait = (g: TcpGuest, listener: number, first: number, count: number) => {
    for (g.peerPort = first; g.peerPort < first + count; g.peerPort++) {
      g.script(`
        in  S seq=0 mss=1460
        out SA seq=0 ack=1
        in  A seq=1 ack=1
      `);
      g.start("close", g.accept(listener));
      g.script(`
        out FA seq=1 ack=1
        in  FA seq=1 ack=2
        out A seq=2 ack=2
      `);
    }
  };
  /** How the peer's data at this port are answered: by A from TIME-WAIT, or R. */
  const answerAt = (g: TcpGuest, port: number) => {
    g.peer({ source: port, flags: 16, seq: g.irs + 2, ack: 1, payload: Buffer.alloc(1) });
    return g.segments().map((one) => ((one.flags & 4) !== 0 ? "R" : "A"))[0];
  };
  const many = async () => {
    const g = await make({ memoryBytes: 32 * 1024 * 1024 });
    return { g, listener: g.listen() };
  };

  test("has room for 1024, each of which is found: the oldest leaves", async () => {
    const { g, listener } = await many();
    wait(g, listener, 2000, 1030);
    expect(g.call("timeWaitCount")).toBe(1024);
    const answers = Array.from({ length: 1030 }, (_, i) => answerAt(g, 2000 + i)).join("");
    expect(answers).toBe("R".repeat(6) + "A".repeat(1024));
    g.advance(60_001);
    expect([g.call("timeWaitCount"), g.call("isTimerRunning")]).toEqual([0, 0]);
    g.meet();
    wait(g, listener, 2000, 3);
    expect([0, 1, 2, 3].map((i) => answerAt(g, 2000 + i)).join("")).toBe("AAAR");
  });

  test("one that starts anew is the youngest, one that is reopened leaves its place", async () => {
    const { g, listener } = await many();
    wait(g, listener, 2000, 1024);
    g.advance(1000);
    // The first begins anew; the second and one of the middle are reopened, and stay open.
    g.peer({ source: 2000, flags: 17, seq: g.irs + 1, ack: g.iss + 2 });
    for (const port of [2001, 2500]) {
      g.peer({ source: port, flags: 2, seq: g.irs + 70_000, mss: 1460 });
    }
    expect(g.segments().map((one) => one.flags)).toEqual([16, 18, 18]);
    expect(g.call("timeWaitCount")).toBe(1022);
    wait(g, listener, 4000, 2);
    expect(g.call("timeWaitCount"), "in their places").toBe(1024);
    expect([2000, 2002, 2003].map((port) => answerAt(g, port)).join("")).toBe("AAA");
    wait(g, listener, 5000, 1);
    expect([2000, 2002, 2003].map((port) => answerAt(g, port)).join("")).toBe("ARA");
    g.advance(59_000);
    expect(g.call("timeWaitCount"), "the first, and the three of then").toBe(4);
  });
});
