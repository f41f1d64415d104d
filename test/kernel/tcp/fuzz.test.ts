// TCP of the guest against segments that are almost right. Nothing falls over, nothing leaks, and
// an honest connection beside them is served. TORITO_FUZZ=frames,seed runs more of them.
import { expect, test } from "vitest";
import { Random } from "../../support/simulation-random.ts";
import { Conversation, hearAll, spoil } from "../../support/tcp-fuzz.ts";
import { pattern, type TcpGuest, tcpGuests } from "../../support/tcp-guest.ts";

const make = await tcpGuests();
const [FRAMES = 5000, SEED = 1] = (process.env.TORITO_FUZZ ?? "")
  .split(",")
  .filter(Boolean)
  .map(Number);
const HONEST_PORT = 50_000;
const CONVERSATIONS = 12;
const DONTWAIT = 0x40;
const SO_NONBLOCK = 0x800;
const POOL_SIZES = 8;

/** These must be the same in the end. */
function books(g: TcpGuest) {
  const buffers = Array.from({ length: POOL_SIZES }, (_, i) => g.call("buffersInFlight", i));
  return {
    blocks: g.call("heapBlocks"),
    sockets: g.call("liveSockets"),
    buffers: buffers.reduce((a, b) => a + b),
    queued: g.call("sendQueuesBytes"),
  };
}

/** The connection that nobody attacks: bytes go to and fro, and are what they were. */
class Honest {
  readonly #g: TcpGuest;
  readonly #socket: number;
  readonly #buffer: number;
  #in = 1;
  #out = 1;

  constructor(g: TcpGuest, listener: number) {
    this.#g = g;
    this.#own();
    g.script(`
      in  S  seq=0 mss=1460
      out SA seq=0 ack=1
      in  A  seq=1 ack=1
    `);
    this.#socket = g.accept(listener);
    this.#buffer = g.bytes(0, 200);
  }

  #own(): void {
    this.#g.peerPort = HONEST_PORT;
    this.#g.irs = 7_000_000;
  }

  exchange(): void {
    const g = this.#g;
    this.#own();
    g.meet();
    g.segments();
    g.script(`in AP seq=${this.#in} ack=${this.#out} bytes=100`);
    expect(g.recv(this.#socket)).toEqual(pattern(this.#in, 100));
    g.machine.memory.bytes(this.#buffer, 200).set(pattern(this.#out, 200));
    g.start("send", this.#socket, this.#buffer, 200, DONTWAIT);
    const sent = g.segments().filter((one) => one.payload.length > 0);
    expect(sent.map((one) => [one.dest, one.payload])).toEqual([
      [HONEST_PORT, pattern(this.#out, 200)],
    ]);
    this.#in += 100;
    this.#out += 200;
    g.script(`in A seq=${this.#in} ack=${this.#out}`);
    g.segments();
  }

  end(): void {
    this.#own();
    this.#g.script(`in R seq=${this.#in}`);
    this.#g.call("SysSocketClose", this.#socket);
    this.#g.call("ToroFreeMem", this.#buffer);
  }
}

/** The application that the conversations talk to. */
class Application {
  readonly sockets: number[] = [];
  readonly #g: TcpGuest;
  readonly #listener: number;
  readonly #buffer: number;

  constructor(g: TcpGuest, listener: number) {
    this.#g = g;
    this.#listener = listener;
    this.#buffer = g.bytes(0, 5000);
    g.call("SysSocketSetOption", listener, SO_NONBLOCK, 1);
  }

  /** It accepts, reads, sends and closes. */
  step(random: Random): void {
    const accepted = this.#g.start("accept", this.#listener).result() ?? -1;
    if (accepted > 0) this.sockets.push(accepted);
    if (this.sockets.length === 0) return;
    const socket = random.any(this.sockets);
    const choice = random.below(10);
    if (choice < 4) this.#g.start("recv", socket, this.#buffer, random.between(1, 5000), DONTWAIT);
    else if (choice < 7)
      this.#g.start("send", socket, this.#buffer, random.between(1, 5000), DONTWAIT);
    else if (choice === 7) this.#g.call("SysSocketShutdown", socket, random.below(3));
    else if (choice === 8 || this.sockets.length > 24) this.#close(socket);
  }

  #close(socket: number): void {
    this.sockets.splice(this.sockets.indexOf(socket), 1);
    this.#g.start("close", socket);
  }

  end(): void {
    for (const socket of [...this.sockets]) this.#close(socket);
    this.#g.start("close", this.#listener);
    this.#g.call("ToroFreeMem", this.#buffer);
  }
}

function fuzz(
  g: TcpGuest,
  honest: Honest,
  application: Application,
  random: Random,
  frames: number,
): void {
  const talks = new Map<number, Conversation>();
  for (let i = 0; i < frames; i++) {
    if (talks.size < CONVERSATIONS) {
      const port = random.between(1025, 49_000);
      const talk = new Conversation(port, random);
      talks.set(port, talk);
      g.peer(talk.syn());
      hearAll(g, talks);
      talk.seq = (talk.seq + 1) >>> 0;
      if (random.chance(0.8)) g.peer({ ...talk.next(random), payload: Buffer.alloc(0), flags: 16 });
    }
    const talk = random.any([...talks.values()]);
    const written = random.chance(0.05) ? talk.syn() : talk.next(random);
    if (random.chance(0.3)) g.peer(written);
    else g.inject(spoil(written, random));
    application.step(random);
    hearAll(g, talks);
    if (random.chance(0.02)) talks.delete(talk.port);
    if (random.chance(0.05)) g.advance(random.any([1, 40, 200, 3000]));
    if (i % 100 === 99) honest.exchange();
  }
}

/** From a new listener to the time when nobody remembers it. Returns what is left. */
function run(g: TcpGuest, frames: number, seed: number) {
  g.meet();
  const listener = g.listen(64);
  const honest = new Honest(g, listener);
  const application = new Application(g, listener);
  fuzz(g, honest, application, new Random(seed), frames);
  honest.exchange();
  honest.end();
  application.end();
  for (let i = 0; i < 60; i++) g.advance(60_000);
  g.segments();
  expect(g.call("isTimerRunning")).toBe(0);
  return books(g);
}

test("NP1, NP4, NP5, NP6, NP7, TC24: frames that are almost right do no harm", async () => {
  const g = await make();
  const before = run(g, 500, SEED + 1); // tables grow when they are first used
  expect(before).toMatchObject({ sockets: 0, queued: 0 });
  expect(run(g, FRAMES, SEED)).toEqual(before);
});
