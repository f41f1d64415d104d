// The real appliance, as a user starts it: the built command line in a child process, and clients.
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";

export const CLI = "dist/host/cli.js";

/** Is a program that tests use as an outside witness on this machine? */
export function has(program: string): boolean {
  return (process.env.PATH ?? "").split(delimiter).some((dir) => existsSync(join(dir, program)));
}

/** A fresh folder; removeFolders() removes them all. */
const folders: string[] = [];
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "torito-"));
  folders.push(folder);
  return folder;
}
export function removeFolders(): void {
  for (const folder of folders.splice(0)) rmSync(folder, { recursive: true, force: true });
}

export class Appliance {
  readonly child: ChildProcess;
  /** All that it printed so far. */
  stdout = "";
  stderr = "";
  port = 0;
  /** Exit code, or the signal that ended it. */
  readonly exited: Promise<number | string>;

  constructor(args: readonly string[]) {
    this.child = spawn(process.execPath, [CLI, ...args], { stdio: ["ignore", "pipe", "pipe"] });
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.exited = new Promise((resolve) => {
      this.child.on("close", (code, signal) => resolve(code ?? signal ?? "?"));
    });
  }

  /** Serves `directory` on a free port. */
  static serve(directory: string, ...args: string[]): Promise<Appliance> {
    return Appliance.#ready(["serve", directory, "-p", "0:80", ...args]);
  }

  /** The same on a port of the card. */
  static serveOnCard(directory: string, ...args: string[]): Promise<Appliance> {
    return Appliance.#ready(["serve", directory, "--net", "-p", "0:80/net", ...args]);
  }

  static async #ready(words: readonly string[]): Promise<Appliance> {
    const appliance = new Appliance(words);
    await until(() => {
      const ready = /ready in \d+ ms {2}http:\/\/127\.0\.0\.1:(\d+)\//.exec(appliance.stderr);
      if (ready === null && appliance.child.exitCode !== null) throw new Error(appliance.stderr);
      appliance.port = Number(ready?.[1] ?? 0);
      return ready !== null;
    });
    return appliance;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  kill(signal: NodeJS.Signals = "SIGTERM"): void {
    this.child.kill(signal);
  }

  /** Ends it if it runs; returns how it ended. */
  async stop(): Promise<number | string> {
    if (this.child.exitCode === null && this.child.signalCode === null) this.kill();
    return await this.exited;
  }

  /** Resident memory in bytes (Linux), or 0. */
  memory(): number {
    try {
      const status = readFileSync(`/proc/${this.child.pid}/status`, "utf8");
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024;
    } catch {
      return 0;
    }
  }

  /** Sends bytes on one connection and returns what comes until the server ends it. */
  raw(request: string | Uint8Array): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = net.connect(this.port, "127.0.0.1", () => socket.write(request));
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk));
      socket.on("end", () => resolve(Buffer.concat(chunks).toString("latin1")));
      socket.on("error", reject);
    });
  }
}

/** Polls until `condition` holds. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 10));
}

export interface Response {
  readonly status: number;
  readonly reason: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** Splits a stream of responses, as pipelining gives them; HEAD and 304 have no body. */
export function parseResponses(text: string, bodiless: readonly number[] = []): Response[] {
  const responses: Response[] = [];
  for (let at = 0; at < text.length; ) {
    const end = text.indexOf("\r\n\r\n", at);
    if (end < 0) throw new Error(`no end of head in ${JSON.stringify(text.slice(at, at + 200))}`);
    const [line = "", ...lines] = text.slice(at, end).split("\r\n");
    const match = /^HTTP\/1\.1 (\d{3}) (.*)$/.exec(line);
    if (match === null) throw new Error(`no status line: ${line}`);
    const headers = new Map(
      lines.map((header) => {
        const colon = header.indexOf(":");
        return [header.slice(0, colon).toLowerCase(), header.slice(colon + 2)];
      }),
    );
    const status = Number(match[1]);
    const none = status === 304 || bodiless.includes(responses.length);
    const length = none ? 0 : Number(headers.get("content-length"));
    const body = text.slice(end + 4, end + 4 + length);
    if (body.length !== length) throw new Error(`${body.length} of ${length} bytes of body`);
    responses.push({ status, reason: match[2] as string, headers, body });
    at = end + 4 + length;
  }
  return responses;
}
