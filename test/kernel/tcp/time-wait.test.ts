// TCP of the guest: TIME-WAIT.
import { describe, expect, test } from "vitest";
import { tcpGuests } from "../../support/tcp-guest.ts";

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

  test("has room for 1024: the oldest leaves", async () => {
    const g = await make({ memoryBytes: 32 * 1024 * 1024 });
    const listener = g.listen();
    for (let i = 0; i < 1030; i++) {
      g.peerPort = 1024 + i;
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
    expect(g.call("timeWaitCount")).toBe(1024);
    g.peerPort = 1024;
    g.peer({ flags: 16, seq: g.irs + 2, ack: 1 });
    expect(g.segments()[0]?.flags).toBe(4);
  });
});
