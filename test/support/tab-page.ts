// The library for test pages, and a machine in a Worker with a tar of the test's.

import { PortSocket, WorkerMachine } from "../../host/browser/index.ts";
import { browserPlatform } from "../../host/browser/platform.ts";
import { Machine } from "../../host/machine.ts";
import { ManualClock } from "../../host/manual-clock.ts";

export * from "../../host/browser/index.ts";

const NUMBERS = "wide=4294967296 long=18446744073709551616";

/** Boots an image of the server with the site `site.tar`, and waits until it listens. */
export async function bootWorker(image = "web-server.wasm"): Promise<WorkerMachine> {
  const load = async (name: string) => (await fetch(name)).arrayBuffer();
  const [bytes, files] = await Promise.all([load(image), load("site.tar")]);
  const worker = new Worker("lab/machine/worker.js", { type: "module" });
  const machine = await WorkerMachine.boot(worker, { image: bytes, files });
  await machine.listening();
  return machine;
}

/** Runs a test of the guest on a machine of its own; "" if it passes, otherwise why not. */
export async function runGuestTest(module: WebAssembly.Module, name: string): Promise<string> {
  const clock = new ManualClock();
  const machine = await Machine.create(
    {
      image: module,
      clock,
      memoryBytes: 16 << 20,
      parameters: `port=80 root=site flag bad=8x empty= port=81 ${NUMBERS}`,
      entropy: (into) => into.fill(7),
    },
    browserPlatform,
  );
  machine.boot();
  try {
    machine.call(name);
    for (let ms = 0; ms < 60_000 && machine.call("unfinished") !== 0; ms++) {
      while (clock.settle() > 0);
      clock.advance(1);
    }
    return machine.call("unfinished") === 0 ? "" : "a thread never ended";
  } catch (error) {
    return (error as Error).message;
  } finally {
    machine.dispose();
  }
}

/** A client that asks for a file and gives no credit: the bytes that it has been sent so far. */
export class DeafClient {
  bytes = 0;
  readonly #port: MessagePort;

  constructor(machine: WorkerMachine, path: string) {
    this.#port = machine.connect(80);
    this.#port.onmessage = ({ data }) => {
      if (data instanceof Uint8Array) this.bytes += data.length;
    };
    const request = new TextEncoder().encode(`GET ${path} HTTP/1.1\r\nhost: a\r\n\r\n`);
    this.#port.postMessage(request, [request.buffer]);
  }
}

/** All bytes that a client gets for a request, over a PortSocket. */
export function ask(machine: WorkerMachine, request: string): Promise<string> {
  return new Promise((resolve) => {
    let text = "";
    const socket = PortSocket.dial(machine.connect(80), {
      connected() {},
      data: (chunk) => {
        text += new TextDecoder("latin1").decode(chunk);
      },
      end: () => socket.close(),
      sent() {},
      failed: (error) => resolve(`${text}${error.message}`),
      closed: () => resolve(text),
    });
    socket.send([new TextEncoder().encode(request)]);
  });
}
