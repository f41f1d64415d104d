// node:http's reading of a request, without a network.
import { createServer, type IncomingMessage, type Server } from "node:http";
import { Duplex } from "node:stream";

export interface Reading {
  readonly outcome: "whole" | "refused" | "incomplete";
  readonly method?: string | undefined;
  readonly target?: string | undefined;
  /** Names and values, in their order. */
  readonly fields?: readonly (readonly [name: string, value: string])[];
}

class Wire extends Duplex {
  override _read(): void {}
  override _write(_chunk: Buffer, _encoding: string, done: () => void): void {
    done();
  }
}

export class NodeParser {
  readonly #server: Server;
  #request: IncomingMessage | undefined;
  #isRefused = false;

  constructor() {
    this.#server = createServer({ requireHostHeader: false });
    const take = (request: IncomingMessage) => {
      this.#request ??= request;
      request.resume();
    };
    for (const event of ["request", "checkContinue", "checkExpectation", "connect", "upgrade"]) {
      this.#server.on(event, take);
    }
    this.#server.on("clientError", () => {
      this.#isRefused ||= !this.#request?.complete;
    });
  }

  async read(bytes: Buffer): Promise<Reading> {
    this.#request = undefined;
    this.#isRefused = false;
    const wire = new Wire();
    wire.on("error", () => {});
    this.#server.emit("connection", wire);
    wire.push(bytes);
    for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
    const request = this.#request as IncomingMessage | undefined;
    const isWhole = request?.complete ?? false;
    const outcome = this.#isRefused ? "refused" : isWhole ? "whole" : "incomplete";
    wire.destroy();
    if (request === undefined) return { outcome };
    const { rawHeaders: raw } = request;
    const fields = Array.from(
      { length: raw.length / 2 },
      (_, i) => [raw[2 * i] as string, raw[2 * i + 1] as string] as const,
    );
    return { outcome, method: request.method, target: request.url, fields };
  }
}
